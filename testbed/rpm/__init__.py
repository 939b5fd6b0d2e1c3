"""A repository of signed RPMs in a container; stands in for CentOS 7's archive, NVIDIA's and git-lfs's repositories."""
