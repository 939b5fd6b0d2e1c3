"""The shell script that builds and signs the RPMs of the testbed and lays out their repositories.

git-lfs is Debian 11's real binary. Every other package stands in for one that can not be had here, and says so in its
summary.
"""

ROOT = "/srv/repository"
LINE = "\n"
GIT_LFS = "git-lfs-2.13.2-1.el7.x86_64.rpm"
SPEC = """
Name: {name}
Version: {version}
Release: 1.el7
Summary: {summary}
License: Apache-2.0
AutoReqProv: no
{relations}
%description
%{{summary}}
%install
cp -a {tree}/. %{{buildroot}}/
{post}
%files
{files}
"""
# Until the boot after its installation the driver does not answer, as when nouveau still holds the card; then it
# replays what `nvidia-smi --query-gpu=name,driver_version,persistence_mode --format=csv` of a V100 looks like.
NVIDIA_SMI = """#!/bin/sh
if [ -e /run/stand-in-for-nvidia-driver.not-loaded ]; then
  echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA\
 driver is installed and running."
  exit 9
fi
echo 'name, driver_version, persistence_mode'
echo 'Tesla V100-SXM2-32GB, 550.163.01, Enabled'
"""
PERSISTENCED = """[Unit]
Description=stand-in for nvidia-persistenced
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


def package(folder: str, nv: str, summary: str, files: dict, *relations: str, post: str = "") -> str:
    """Return the shell commands that build one RPM (``nv`` is its name and version) into a folder of the repository.

    ``files`` is {path: text, or ``=`` and an absolute path to copy from}; ``relations`` and ``post`` are lines of the
    spec.
    """
    name, version = nv.rsplit("-", 1)
    tree, lines = f"/root/tree/{name}", []
    for path, content in files.items():
        lines.append(f"mkdir -p $(dirname {tree}{path})")
        if content.startswith("="):
            lines.append(f"cp {content[1:]} {tree}{path}")
        else:
            lines.append(f"cat > {tree}{path} <<'CONTENT'\n{content}CONTENT")
        if "/bin/" in path:
            lines.append(f"chmod 755 {tree}{path}")
    spec = SPEC.format(
        name=name,
        version=version,
        summary=summary,
        relations="\n".join(relations),
        tree=tree,
        post=post,
        files="\n".join(files),
    )
    defines = {
        "_rpmdir": f"{ROOT}/{folder}",
        "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        "_build_id_links": "none",
        "__os_install_post": "%{nil}",  # it wants tools that the image has not, to strip and compress
    }
    options = " ".join(f"--define '{name} {value}'" for name, value in defines.items())
    lines.append(f"cat > /root/{name}.spec <<'SPEC'\n{spec}SPEC")
    lines.append(f"rpmbuild --quiet -bb --target x86_64 {options} /root/{name}.spec")
    return LINE.join(lines)


def build_script(kernel: str) -> str:
    """Return the shell script that makes keys, packages and repositories; ``kernel`` is what `uname -r` says."""
    names = ("nvidia-driver-latest-dkms", "nvidia-driver-latest-dkms-cuda", "nvidia-persistenced-latest-dkms")
    packages = [
        package("vault/os/x86_64", "git-1.8.3.1", "stand-in for git: only its name", {"/usr/bin/git": "#!/bin/sh\n"}),
        package(
            "packages",
            "git-lfs-2.13.2",
            "git-lfs, the binary of Debian 11",
            {"/usr/bin/git-lfs": "=/opt/git-lfs/usr/bin/git-lfs"},
            "Requires: git >= 1.8.2",
        ),
        package(
            "nvidia",
            "stand-in-for-nvidia-driver-550.163.01",
            "stand-in for the NVIDIA driver: its names, and an nvidia-smi that replays an answer",
            {
                "/usr/bin/nvidia-smi": NVIDIA_SMI,
                "/usr/lib/systemd/system/nvidia-persistenced.service": PERSISTENCED,
            },
            *(f"Provides: {name} = 3:550.163.01" for name in names),
            f"Requires: kernel-devel-{kernel}",
            post='%post -p <lua>\nio.open("/run/stand-in-for-nvidia-driver.not-loaded", "w"):close()',
        ),
        package(
            "vault/updates/x86_64",
            "stand-in-for-kernel-devel-1",
            "stand-in for the headers of the running kernel",
            {f"/usr/lib/modules/{kernel}/build/Makefile": "# stand-in for kernel headers\n"},
            f"Provides: kernel-devel-{kernel}",
        ),
    ]
    keys = [
        f"gpg --quiet --batch --passphrase '' --quick-gen-key '{key} throw-away key' rsa2048 sign never\n"
        f"gpg --quiet --armor --export '{key} throw-away key' > {ROOT}/keys/{key}.asc"
        for key in ("pinned", "other")
    ]
    return f"""set -eu
rm -rf {ROOT} /root/tree /root/.gnupg
mkdir -p {ROOT}/keys
{LINE.join(keys)}
{LINE.join(packages)}
cd {ROOT}
mkdir -p wrong-key unsigned changed vault/extras/x86_64 epel/x86_64 cloud/{GIT_LFS}
cp packages/{GIT_LFS} unsigned/
cp packages/{GIT_LFS} wrong-key/
sign() {{ rpmsign --define '__gpg /usr/bin/gpg' --define "_gpg_name $1 throw-away key" --addsign "$2" > /dev/null; }}
export GPG_TTY=
sign other wrong-key/{GIT_LFS}
for rpm in packages/*.rpm nvidia/*.rpm vault/*/x86_64/*.rpm; do sign pinned $rpm; done
cp packages/{GIT_LFS} cloud/{GIT_LFS}/download  # packagecloud's addresses end so
cp packages/{GIT_LFS} changed/
printf x | dd of=changed/{GIT_LFS} bs=1 seek=1000000 conv=notrunc status=none
cp keys/pinned.asc nvidia/D42D0685.pub  # NVIDIA's name for its key
for folder in nvidia vault/*/x86_64 epel/x86_64; do createrepo_c --quiet $folder; done
"""
