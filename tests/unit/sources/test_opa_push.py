import pytest

from extauthz.errors import ConfigurationError, PolicyError
from extauthz.sources.opa_admin import OpaAdmin, OpaConnection
from extauthz.sources.opa_push import PUSHES, Step, apply_push, check_name, plan_push, read_local
from tests.harness.opa_server import opa_server

LIBRARY = "package lib\n\nis_good(x) if x in data.roles.good\n"
USER = "package shop\n\nimport data.lib\n\nallow if lib.is_good(input.x)\n"


@pytest.fixture
def folder(tmp_path):
    """A module that needs the next one, that one, a test, and data below a folder's name."""
    (tmp_path / "zlib").mkdir()
    (tmp_path / "roles").mkdir()
    (tmp_path / "a.rego").write_text(USER)
    (tmp_path / "zlib" / "lib.rego").write_text(LIBRARY)
    (tmp_path / "a_test.rego").write_text("package shop_test\n")
    (tmp_path / "roles" / "data.json").write_text('{"good": [1, 2]}')
    return tmp_path


@pytest.fixture
def opa():
    with opa_server() as server, OpaAdmin(OpaConnection(server.url)) as admin:
        yield admin


def push(opa, folder, name="main", *, takes_over=False):
    """What was done."""
    done: list[Step] = []
    apply_push(plan_push(name, read_local([str(folder)]), opa, takes_over=takes_over), opa, done.append)
    return {(step.action, step.name) for step in done}


# --- What is to be there -------------------------------------------------------------------------------------------


def test_modules_have_their_paths_and_data_the_folders_names(folder):
    """Tests are left out; a file that is named has its name alone."""
    local = read_local([str(folder)])
    assert (set(local.modules), local.data) == ({"a.rego", "zlib/lib.rego"}, {"roles": {"good": [1, 2]}})
    assert set(read_local([str(folder / "zlib" / "lib.rego")]).modules) == {"lib.rego"}


def test_the_revision_is_that_of_the_contents(folder):
    """Wherever they lie, and of the data too."""
    first = read_local([str(folder)]).revision
    assert read_local([str(folder)]).revision == first
    (folder / "roles" / "data.json").write_text('{"good": [1, 3]}')
    assert read_local([str(folder)]).revision != first


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"policy.yaml": b"version: 1"}, ConfigurationError, "to push"),
        ({"x.rego": b"package \xff"}, ConfigurationError, "UTF-8"),
        ({"data.json": b'{"extauthz": 1}'}, ConfigurationError, "name it otherwise"),
        ({"data.json": b'{"a": 1.00000000000000000001}'}, ConfigurationError, "more digits"),
        ({"data.json": b"[1]"}, PolicyError, "data.json"),
        ({"data.json": b'{"a": 1}', "data.yaml": b"a: 2"}, PolicyError, "given twice"),
    ],
)
def test_what_cannot_be_pushed(tmp_path, files, error, message):
    """Is told before anything is sent."""
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        read_local([str(tmp_path)])


def test_two_modules_of_one_id(tmp_path):
    """From two folders: the second would replace the first."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.rego").write_text("package a\n")
    with pytest.raises(ConfigurationError, match=r"would both be a\.rego"):
        read_local([str(tmp_path / "one"), str(tmp_path / "two")])


@pytest.mark.parametrize("name", ["", "A", "a/b", "-a", "x" * 64])
def test_wrong_names(name):
    """A name is part of ids and paths."""
    with pytest.raises(ConfigurationError, match="--name"):
        check_name(name)


# --- What is there -------------------------------------------------------------------------------------------------


@pytest.mark.opa
def test_a_push_and_the_next_ones(opa, folder):
    """What changed is changed, what is gone is removed, and what stayed is left alone."""
    assert push(opa, folder) == {
        ("add", "roles"),
        ("add", "extauthz/main/a.rego"),
        ("add", "extauthz/main/zlib/lib.rego"),
    }
    assert opa.module("extauthz/main/a.rego") == USER
    assert opa.data(PUSHES)["main"]["revision"] == read_local([str(folder)]).revision
    assert push(opa, folder) == set()
    (folder / "a.rego").write_text("package shop\n\nallow := true\n")
    (folder / "zlib" / "lib.rego").unlink()
    (folder / "roles" / "data.json").write_text('{"good": [3]}')
    assert push(opa, folder) == {
        ("change", "roles"),
        ("change", "extauthz/main/a.rego"),
        ("remove", "extauthz/main/zlib/lib.rego"),
    }
    assert (opa.data("shop/allow"), opa.data("roles")) == (True, {"good": [3]})
    (folder / "roles" / "data.json").unlink()
    assert push(opa, folder) == {("remove", "roles")}
    assert opa.data("roles") is None


@pytest.mark.opa
def test_nothing_of_others_is_touched(opa, folder):
    """Neither modules and data that were there, nor those of another push."""
    opa.put_module("theirs.rego", "package theirs\n\na := 1\n")
    opa.put_data("config", {"x": 1})
    push(opa, folder)
    other = folder / "other"
    other.mkdir()
    (other / "b.rego").write_text("package b\n")
    push(opa, other, "other")
    assert push(opa, other, "other") == set()
    assert set(opa.packages()) == {
        "theirs.rego",
        "extauthz/main/a.rego",
        "extauthz/main/zlib/lib.rego",
        "extauthz/other/b.rego",
    }
    for key, content in {"config": '{"config": 2}', "roles": '{"roles": 2}'}.items():
        (other / "data.json").write_text(content)
        with pytest.raises(ConfigurationError, match=rf"data\.{key} .*--take-over"):
            push(opa, other, "other")
    assert (opa.data("config"), opa.data("roles")) == ({"x": 1}, {"good": [1, 2]})


@pytest.mark.opa
def test_what_is_taken_over_belongs_to_the_new_push(opa, folder):
    """The old one does not remove it any more."""
    push(opa, folder)
    other = folder / "other"
    other.mkdir()
    (other / "data.json").write_text('{"roles": {"good": [9]}}')
    assert push(opa, other, "other", takes_over=True) == {("add", "roles")}
    (other / "data.json").rename(folder.parent / "kept.json")
    (folder / "roles" / "data.json").unlink()
    assert push(opa, folder) == set()
    assert opa.data("roles") == {"good": [9]}


@pytest.mark.opa
def test_a_refused_module_is_told_by_its_file_and_the_next_push_finishes(opa, folder):
    """There is no revision until all is there."""
    (folder / "zlib" / "lib.rego").write_text("package lib\n\nis_good(x) if nosuch(x)\n")
    with pytest.raises(ConfigurationError) as raised:
        push(opa, folder)
    assert f"{folder}/zlib/lib.rego:3:15: undefined function nosuch" in str(raised.value)
    assert opa.data(PUSHES)["main"]["revision"] is None
    (folder / "zlib" / "lib.rego").write_text(LIBRARY)
    assert push(opa, folder) == {
        ("change", "roles"),
        ("add", "extauthz/main/a.rego"),
        ("add", "extauthz/main/zlib/lib.rego"),
    }
    assert opa.data(PUSHES)["main"]["revision"] == read_local([str(folder)]).revision
