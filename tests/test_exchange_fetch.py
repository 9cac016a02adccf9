"""Downloads, against a server on this machine that also misbehaves."""

import http.server
import io
import json
import re
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
import requests
from helpers import draw_discs, files_under
from PIL import Image

from devotools import InputError
from devotools.datasets import read_dataset
from devotools.exchange import devoworm, download, fetch_devoworm_masks, fetch_wormimage, wormimage
from devotools.images import read_image, read_mask

ROOT = Path(__file__).resolve().parents[1]
EMBRYO = "/data/wild_herm/embryo/92_cell_embryo/92_cell_embryo_7"
TARBALL = devoworm.Source(devoworm.URL, lambda path: None, 1, 1).path
OFFLINE = "devotools synthesize"


def jpeg(seed: int = 0, array=None) -> bytes:
    if array is None:
        array = np.random.default_rng(seed).integers(0, 256, (40, 50), np.uint8)
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="JPEG", quality=75)
    return file.getvalue()


class Server:
    """Files by path, and what goes wrong before they are given: a list of faults for each path."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = {}
        self.asked: list[tuple[str, dict]] = []
        self.at: list[float] = []
        self.ranges = True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request):
        path = requests.utils.unquote(request.path)
        self.asked.append((path, dict(request.headers)))
        self.at.append(time.monotonic())
        faults = self.faults.get(path, [])
        fault = faults.pop(0) if faults else None
        if callable(fault):
            fault(request, self.files.get(path, b""))
        elif isinstance(fault, bytes):
            send(request, 200, fault)
        elif isinstance(fault, int):
            send(request, fault, b"trouble")
        elif path not in self.files:
            send(request, 404, b"not here")
        else:
            self.give(request, self.files[path])

    def give(self, request, content):
        start = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if start is None or not self.ranges:
            return send(request, 200, content)
        at = int(start[1])
        if at >= len(content):
            return send(request, 416, b"")
        said = f"bytes {at}-{len(content) - 1}/{len(content)}"
        return send(request, 206, content[at:], {"Content-Range": said})


def send(request, status, content, headers=(), length=None):
    try:
        request.send_response(status)
        for name, value in dict(headers).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)
    except OSError:
        pass  # the client has left


def cut_off(request, content):
    send(request, 200, content[: len(content) // 2], length=len(content))


def no_length(request, content):
    request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + content[: len(content) // 2])


def drip(request, content):
    send(request, 200, b"", length=len(content))
    try:
        for byte in content:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass


def silent(request, content):
    time.sleep(1)


def redirect(to):
    return lambda request, content: send(request, 302, b"", {"Location": to})


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setenv("DEVOTOOLS_DATA_URL", server.url)
    for number in (101, 102, 103):
        server.files[f"{EMBRYO}.0{number}.jpg"] = jpeg(number)
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(download, "CONNECT_S", 2)
    monkeypatch.setattr(download, "SILENT_S", 0.2)


@pytest.fixture
def fetch(server, tmp_path):
    """Fetch three pictures; the paths asked for are counted from here on."""

    def fetch(out="out", **options):
        server.asked.clear()
        options = {"first": 101, "last": 103, "pause": 0, "cache": tmp_path / "cache"} | options
        return fetch_wormimage(tmp_path / out, **options)

    return fetch


def numbers(server):
    return [int(path[-8:-4]) for path, _ in server.asked]


# --- the series


def test_the_series_arrives_with_its_attribution(server, fetch, tmp_path):
    seen = []
    result = fetch(progress=lambda done, total: seen.append((done, total)))
    assert [path.read_bytes() for path in result.files] == list(server.files.values())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    names = [f"92_cell_embryo_7.0{n}" for n in (101, 102, 103)]
    expected = {"ATTRIBUTION.txt", "manifest.csv"} | {f"images/{name}.jpg" for name in names}
    assert files_under(tmp_path / "out") == expected
    assert (tmp_path / "out" / "ATTRIBUTION.txt").read_text() == result.attribution
    assert "wormimage.org" in result.attribution
    assert "licence" in result.attribution
    rows = [f"{name},92_cell_embryo,{name[-3:]}" for name in names]
    manifest = (tmp_path / "out" / "manifest.csv").read_text().splitlines()
    assert manifest == ["name,embryo,section", *rows]


def test_a_manifest_that_was_edited_keeps_its_rows_when_more_is_fetched(fetch, tmp_path):
    fetch(last=102)
    manifest = tmp_path / "out" / "manifest.csv"
    mine = manifest.read_text().replace("embryo,section", "embryo,section,stain").splitlines()
    mine[1:] = [f"{row},lead" for row in mine[1:]]
    mine[2] = mine[2].replace("92_cell_embryo,", "another,")
    manifest.write_text("\n".join(mine) + "\n")
    fetch(last=103)
    added = "92_cell_embryo_7.0103,92_cell_embryo,103,"
    assert manifest.read_text().splitlines() == [*mine, added]


def test_two_fetches_at_once_record_the_hashes_of_both(tmp_path):
    pictures = [tmp_path / name for name in ("one.jpg", "two.jpg")]
    records = [wormimage._Record(tmp_path / "record.json") for _ in pictures]
    for record, picture in zip(records, pictures, strict=True):
        picture.write_text(picture.name)
        record.keep(picture.name, picture)
    assert set(wormimage._Record(tmp_path / "record.json").hashes) == {"one.jpg", "two.jpg"}


def test_the_addresses_are_those_of_the_2020_project():
    record = wormimage._Record(Path("none.json"))
    assert wormimage._source(101, record).url == f"https://www.wormimage.org{EMBRYO}.0101.jpg"
    assert devoworm.URL.startswith("https://raw.githubusercontent.com/devoworm/GSoC-2020/")
    assert devoworm.GIT_BLOB == "23a9852b327866e93b9e7bedec263824c55a5a67"
    assert TARBALL.endswith("embryo_segmentation/data/image_data.tar.xz")


def test_the_agent_says_who_asks(server, fetch):
    fetch()
    agent = server.asked[0][1]["User-Agent"]
    assert re.match(r"devotools/\S+ \(.*\+https://", agent)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Repository"] == download.HOME


def test_one_at_a_time_with_a_pause(server, fetch):
    fetch(pause=0.1)
    assert min(np.diff(server.at)) >= 0.1


def test_what_is_there_is_not_asked_for_again(server, fetch, tmp_path):
    fetch(last=102)
    fetch()
    assert numbers(server) == [103]
    fetch("elsewhere")
    assert server.asked == []
    assert len(files_under(tmp_path / "elsewhere")) == 5


def test_an_interrupted_fetch_goes_on(server, fetch):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(progress=stop)
    assert len(fetch().files) == 3
    assert numbers(server) == [103]


def test_a_damaged_file_in_the_cache_is_fetched_again(server, fetch, tmp_path):
    fetch()
    cached = tmp_path / "cache" / f"{EMBRYO[1:]}.0102.jpg"
    for damage in (b"", jpeg(7)):
        cached.write_bytes(damage)
        fetch()
        assert numbers(server) == [102]
        assert cached.read_bytes() == jpeg(102)


def test_missing_pictures_are_reported(server, fetch):
    del server.files[f"{EMBRYO}.0102.jpg"]
    result = fetch()
    assert result.missing == ["92_cell_embryo_7.0102.jpg"]
    assert len(result.files) == 2
    assert numbers(server) == [101, 102, 103]  # a 404 is an answer: nobody asks again


def test_nothing_there_at_all(fetch, tmp_path):
    with pytest.raises(InputError, match="none of the 2 pictures from 7 to 8"):
        fetch(first=7, last=8)
    assert not (tmp_path / "out").exists()


# --- the first hash holds


def test_the_first_hash_is_recorded_and_held(server, fetch, tmp_path):
    fetch()
    record = json.loads((tmp_path / "cache" / "wormimage.sha256.json").read_text())
    assert set(record) == {path[1:] for path in server.files}
    shutil.rmtree(tmp_path / "cache" / "data")
    server.files[f"{EMBRYO}.0102.jpg"] = jpeg(9)
    with pytest.raises(InputError, match=r"its SHA-256 is \w{16}.*was recorded"):
        fetch("second")
    assert numbers(server) == [101] + [102] * 4
    assert "0102" not in str(files_under(tmp_path / "cache"))
    server.files[f"{EMBRYO}.0102.jpg"] = jpeg(102)
    assert len(fetch("second").files) == 3


def test_a_broken_record_is_a_sentence(fetch, tmp_path):
    (tmp_path / "cache").mkdir()
    for content in ("{", "[1]", '{"a": 1}', "7"):
        (tmp_path / "cache" / "wormimage.sha256.json").write_text(content)
        with pytest.raises(InputError, match="Remove it: the pictures will be recorded anew"):
            fetch()


def test_foreign_files_are_not_overwritten(fetch, tmp_path):
    fetch()
    picture = tmp_path / "out" / "images" / "92_cell_embryo_7.0101.jpg"
    picture.write_bytes(b"mine")
    with pytest.raises(InputError, match="is another file than the one fetched"):
        fetch()
    assert picture.read_bytes() == b"mine"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is not empty"):
        fetch("full")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"first": -1}, "first is -1"),
        ({"last": 5}, "last is 5"),
        ({"last": 10_000}, "four digits"),
        ({"pause": -1}, "pause is -1"),
        ({"pause": "long"}, "pause is 'long'"),
    ],
)
def test_options(fetch, options, match):
    with pytest.raises(InputError, match=match):
        fetch(**options)


# --- a server that misbehaves


@pytest.mark.parametrize(
    "fault",
    [500, 503, 429, cut_off, no_length, silent, b"<html>log in</html>", b"", jpeg(1)[:900]],
    ids=["500", "503", "429", "cut", "no length", "silent", "portal", "empty", "half"],
)
def test_a_passing_fault_is_survived_and_a_lasting_one_told(server, fetch, tmp_path, fault):
    path = f"{EMBRYO}.0101.jpg"
    server.faults[path] = [fault] * 2
    assert len(fetch(last=101).files) == 1
    assert numbers(server) == [101] * 3
    shutil.rmtree(tmp_path / "cache")
    server.faults[path] = [fault] * 9
    with pytest.raises(InputError, match=OFFLINE):
        fetch("again", last=101)
    assert numbers(server) == [101] * 4
    assert files_under(tmp_path / "cache") == set()
    assert not (tmp_path / "again").exists()


def test_a_dripping_server_does_not_hold_us(server, fetch, monkeypatch):
    monkeypatch.setattr(wormimage, "MAX_SECONDS", 0.15)
    server.faults[f"{EMBRYO}.0101.jpg"] = [drip] * 9
    start = time.monotonic()
    with pytest.raises(InputError, match=r"not done after 0.15 seconds"):
        fetch(last=101)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("status", [401, 403, 418])
def test_a_refusal_is_not_asked_again(server, fetch, status):
    server.faults[f"{EMBRYO}.0101.jpg"] = [status] * 9
    with pytest.raises(InputError, match=f"status {status}"):
        fetch(last=101)
    assert numbers(server) == [101]


def test_redirects_are_followed_but_not_for_ever(server, fetch):
    server.files["/moved.jpg"] = jpeg(101)
    server.faults[f"{EMBRYO}.0101.jpg"] = [redirect("/moved.jpg")]
    assert fetch(last=101).files[0].read_bytes() == jpeg(101)
    server.faults[f"{EMBRYO}.0102.jpg"] = [redirect(f"{EMBRYO}.0102.jpg")] * 200
    with pytest.raises(InputError, match="TooManyRedirects"):
        fetch(first=102, last=102)


@pytest.mark.parametrize("told", [True, False])
def test_too_large(server, fetch, monkeypatch, tmp_path, told):
    monkeypatch.setattr(wormimage, "MAX_BYTES", 300)
    whole = lambda request, content: request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + content)  # noqa: E731
    server.faults[f"{EMBRYO}.0101.jpg"] = [] if told else [whole]
    with pytest.raises(InputError, match="expected 300 at most"):
        fetch(last=101)
    assert numbers(server) == [101]
    assert files_under(tmp_path / "cache") == set()


def test_offline_names_the_other_way(fetch, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("DEVOTOOLS_DATA_URL", f"http://127.0.0.1:{port}/")
    with pytest.raises(InputError, match=OFFLINE):
        fetch()
    monkeypatch.setenv("DEVOTOOLS_DATA_URL", "")  # the true server; tests have no way out
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(OSError()))
    with pytest.raises(InputError, match=r"https://www.wormimage.org/.*DEVOTOOLS_DATA_URL"):
        fetch()


def test_a_cache_that_cannot_be_written(fetch, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        fetch(cache=tmp_path / "file")


# --- the mirror


@pytest.mark.parametrize("mirror", ["ftp://x", "classroom", "file:///etc"])
def test_a_mirror_is_a_web_address(fetch, monkeypatch, mirror):
    monkeypatch.setenv("DEVOTOOLS_DATA_URL", mirror)
    with pytest.raises(InputError, match="DEVOTOOLS_DATA_URL is"):
        fetch()


def test_a_served_cache_is_a_mirror(fetch, server, tmp_path, monkeypatch):
    """A teacher fetches once, and serves the cache folder to the class."""
    fetch()
    for path in (tmp_path / "cache").rglob("*.jpg"):
        server.files[f"/class/{path.relative_to(tmp_path / 'cache').as_posix()}"] = (
            path.read_bytes()
        )
    monkeypatch.setenv("DEVOTOOLS_DATA_URL", f"{server.url}/class/")
    monkeypatch.setenv("DEVOTOOLS_CACHE", str(tmp_path / "pupil"))
    assert len(fetch("pupil_out", cache=None).files) == 3
    assert all(path.startswith("/class/data/") for path, _ in server.asked)
    assert (tmp_path / "pupil" / "wormimage.sha256.json").exists()


# --- TLS


def test_tls_is_always_verified(fetch, monkeypatch):
    for path in (ROOT / "devotools" / "exchange").glob("*.py"):
        code = path.read_text()
        assert not re.search(r"verify\s*=|_create_unverified|CERT_NONE|disable_warnings", code)
    seen = []

    def send(self, request, **options):
        seen.append(options["verify"])
        raise requests.exceptions.SSLError("self-signed")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    monkeypatch.delenv("DEVOTOOLS_DATA_URL")
    with pytest.raises(InputError, match="self-signed"):
        fetch(last=101)
    assert len(seen) == 4
    assert all(seen)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_certificate_nobody_signed_is_refused(server, fetch, tmp_path, monkeypatch):
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    command = ["openssl", "req", "-x509", *key, *subject, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    monkeypatch.setenv("DEVOTOOLS_DATA_URL", server.url.replace("http:", "https:"))
    with pytest.raises(InputError, match="SSLCertVerificationError"):
        fetch(last=101)
    assert server.asked == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    assert len(fetch(last=101).files) == 1  # trusted, it works
    plain = Server()
    server.faults[f"{EMBRYO}.0102.jpg"] = [redirect(plain.url + "/a.jpg")]
    plain.files["/a.jpg"] = jpeg(102)
    with pytest.raises(InputError, match="not protected"):
        fetch(first=102, last=102)
    plain.http.shutdown()
    plain.http.server_close()


# --- the masks of 2020


def ragged(labels) -> np.ndarray:
    """A drawn mask as 2020 saved it: JPEG invents values around every outline."""
    return np.where(labels > 0, 255, 0).astype(np.uint8)


def tarball(files) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def sections(images="data/images", masks="data/masks", image="real", mask="mask"):
    labels = [draw_discs(), draw_discs([(20, 20), (44, 40)], 8)]
    files = {}
    for number, drawn in enumerate(labels):
        picture = (60 + 100 * (drawn > 0)).astype(np.uint8)
        files[f"{images}/{image}_{number}.jpg"] = jpeg(array=picture)
        files[f"{masks}/{mask}_{number}.jpg"] = jpeg(array=ragged(drawn))
    return files


@pytest.fixture
def masks(server, tmp_path, monkeypatch):
    """Serve an archive whose git blob hash is the one known, and fetch it."""

    def fetch(files, out="out", *, good=True, **options):
        content = files if isinstance(files, bytes) else tarball(files)
        server.files["/" + TARBALL] = content
        (tmp_path / "known").write_bytes(content)
        if good:
            monkeypatch.setattr(devoworm, "GIT_BLOB", download.git_blob_hash(tmp_path / "known"))
        return fetch_devoworm_masks(tmp_path / out, cache=tmp_path / "cache", **options)

    return fetch


def test_masks_arrive_cleaned_beside_the_raw_ones(masks, server, tmp_path):
    files, seen = sections(), []
    result = masks(files, progress=lambda done, total: seen.append((done, total)))
    assert (result.names, result.refused) == (["real_0", "real_1"], [])
    assert seen == [(1, 2), (2, 2)]
    assert server.asked[0][0] == "/" + TARBALL
    out = tmp_path / "out"
    assert files_under(out) == {
        "ATTRIBUTION.txt",
        "report.csv",
        *(f"{folder}/real_{n}.jpg" for folder in ("images", "masks_raw") for n in (0, 1)),
        *(f"masks/real_{n}.png" for n in (0, 1)),
    }
    assert (out / "masks_raw" / "real_0.jpg").read_bytes() == files["data/masks/mask_0.jpg"]
    raw, clean = read_image(out / "masks_raw" / "real_0.jpg"), read_mask(out / "masks/real_0.png")
    assert (raw > 0).sum() > 1.2 * (draw_discs() > 0).sum()  # the rags that 2020 took for nucleus
    assert (clean != (draw_discs() > 0)).mean() < 0.005
    assert len(read_dataset(out)) == 2


@pytest.mark.parametrize(
    ("images", "folder", "image", "mask"),
    [
        ("image_data/images", "image_data/masks", "real", "mask"),
        ("images", "masks", "section", "section"),
        ("x/train/original_images", "x/train/labels", "img", "label"),
        ("a/images", "b/Masks", "image", "mask"),
    ],
)
def test_other_layouts_of_the_archive(masks, images, folder, image, mask):
    files = sections(images, folder, image, mask) | {f"{images}/._real_0.jpg": b"mac"}
    assert len(masks(files).names) == 2


@pytest.mark.parametrize(
    "files",
    [
        {"data/readme.txt": b"x"},
        {"data/images/a.jpg": jpeg()},
        {"a.jpg": jpeg(), "b.jpg": jpeg()},
        sections("a/images", "a/masks") | sections("b/images", "b/masks"),
    ],
    ids=["none", "no masks", "flat", "two"],
)
def test_an_unknown_layout_is_told(masks, tmp_path, files):
    with pytest.raises(InputError, match="expected one pair such as images/ and masks/"):
        masks(files)
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_reported(masks, tmp_path):
    files = sections()
    files["data/images/real_7.jpg"] = files["data/masks/mask_8.jpg"] = jpeg()
    files["data/images/real_9.jpg"], files["data/masks/mask_9.jpg"] = (
        jpeg(),
        jpeg(array=ragged(draw_discs())),
    )
    files["data/images/real_a.jpg"], files["data/masks/mask_a.jpg"] = b"broken", jpeg()
    result = masks(files)
    assert result.names == ["real_0", "real_1"]
    reasons = dict(result.refused)
    assert reasons["images/real_7.jpg"] == "no partner of this name"
    assert reasons["masks/mask_8.jpg"] == "no partner of this name"
    assert "(40, 50)" in reasons["real_9.jpg"]
    assert "real_a.jpg" in reasons
    report = (tmp_path / "out" / "report.csv").read_text()
    assert report.count("refused") == 4
    assert str(tmp_path) not in report


def test_nothing_that_fits(masks, tmp_path):
    with pytest.raises(InputError, match="gave no picture with a mask that fits"):
        masks({"images/a.jpg": jpeg(), "masks/b.jpg": jpeg()})
    assert not (tmp_path / "out").exists()


def test_the_hash_is_verified_before_a_byte_is_used(masks, server, tmp_path, monkeypatch):
    monkeypatch.setattr(devoworm, "unpack", lambda *_: pytest.fail("unpacked unverified bytes"))
    with pytest.raises(InputError, match=r"git blob hash is \w{40}; .*23a9852b32"):
        masks(sections(), good=False)
    assert len(server.asked) == 4
    assert files_under(tmp_path / "cache") == set()
    assert not (tmp_path / "out").exists()


def test_a_damaged_archive_in_the_cache_is_fetched_again(masks, server, tmp_path):
    masks(sections())
    server.asked.clear()
    masks(sections(), "second")
    assert server.asked == []
    (tmp_path / "cache" / TARBALL).write_bytes(b"damaged")
    masks(sections(), "third")
    assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_half_a_download_is_gone_on_with(masks, server, ranges):
    server.ranges = ranges
    server.faults["/" + TARBALL] = [cut_off]
    masks(sections())
    half = len(server.files["/" + TARBALL]) // 2
    assert [head.get("Range") for _, head in server.asked] == [None, f"bytes={half}-"]


def test_a_wrong_joint_is_noticed(masks, server, tmp_path):
    part = tmp_path / "cache" / (TARBALL + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another file")
    assert masks(sections()).names  # joined, found wrong, thrown away, fetched whole
    assert [head.get("Range") for _, head in server.asked] == ["bytes=15-", None]
    assert not part.exists()
    part.write_bytes(bytes(10**6))  # longer than the file: 416
    (tmp_path / "cache" / TARBALL).unlink()
    assert masks(sections(), "second").names


def test_no_archive_there(server, tmp_path):
    with pytest.raises(InputError, match=r"is not there \(404\).*devotools synthesize"):
        fetch_devoworm_masks(tmp_path / "out", cache=tmp_path / "cache")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    server.asked.clear()
    with pytest.raises(InputError, match="is not empty"):
        fetch_devoworm_masks(tmp_path / "full", cache=tmp_path / "cache")
    assert server.asked == []


def test_an_archive_that_attacks_is_refused(masks, tmp_path):
    with pytest.raises(InputError, match="a way out"):
        masks(sections() | {"../evil.jpg": jpeg()})
    assert "evil.jpg" not in str(files_under(tmp_path))
