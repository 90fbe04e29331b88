"""Packs what `cargo zigbuild` made into dist/: zips for Azure Functions and AWS Lambda, a program for Cloud Run.

    package.py TARGET [CONFIG]

CONFIG is a folder with amend.yaml and what it names; it goes into every package. The same input makes the same bytes.
"""

import pathlib
import shutil
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}


def files_of(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def zipped(to: pathlib.Path, files: dict[str, pathlib.Path], programs: set[str]) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in sorted(files.items()):
            about = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = (0o100755 if name in programs else 0o100644) << 16
            archive.writestr(about, path.read_bytes())


def main() -> None:
    target = sys.argv[1]
    config = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else None
    if config and not (config / "amend.yaml").is_file():
        sys.exit(f"{config} holds no amend.yaml: name the folder that does, CONFIG=folder")
    beside = files_of(config) if config else {}
    architecture = ARCHITECTURES[target.split("-")[0]]
    built = ROOT / "target" / target / "release"
    dist = ROOT / "dist"
    azure, aws = dist / f"amend-azure-{architecture}.zip", dist / f"amend-aws-{architecture}.zip"
    zipped(azure, beside | files_of(ROOT / "functions/azure/app") | {"amend-azure": built / "amend-azure"}, {"amend-azure"})
    zipped(aws, beside | {"bootstrap": built / "amend-aws"}, {"bootstrap"})
    gcp = dist / f"amend-gcp-{architecture}"
    shutil.copyfile(built / "amend-gcp", gcp)
    gcp.chmod(0o755)
    for path, program in [(azure, "amend-azure"), (aws, "amend-aws"), (gcp, "amend-gcp")]:
        size, whole = path.stat().st_size, (built / program).stat().st_size
        print(f"{path.relative_to(ROOT)!s:32} {size / 1e6:6.1f} MB   (the program alone, unpacked: {whole / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
