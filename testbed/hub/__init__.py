"""A model hub in a container; stands in for the public one, which a demo should not depend on."""
