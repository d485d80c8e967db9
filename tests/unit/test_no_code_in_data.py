"""Nothing of ours runs what it reads: no pickle, no eval, no shell."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "wire", "identity", "producers", "engines", "stream", "monitor", "training", "lesionstream",
    "local", "benchmarks",
)  # fmt: skip
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load"), ("os", "system"),
    ("os", "popen"), ("torch", "load"), ("pandas", "read_pickle"),
}  # fmt: skip


def risky(source):
    """Return what in a module could run what it reads, as (line, what)."""
    found = []
    for node in ast.walk(ast.parse(source)):
        found += [(node.lineno, what) for what in _names(node)]
    return found


def _names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
    if isinstance(node, ast.ImportFrom):
        return [node.module] if (node.module or "").split(".")[0] in MODULES else []
    if not isinstance(node, ast.Call):
        return []
    function = node.func
    if isinstance(function, ast.Name):
        return [function.id] if function.id in CALLS else _keywords(node)
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        if (owner, function.attr) in METHODS:
            return [f"{owner}.{function.attr}"]
        # A pipe of multiprocessing pickles what `send` and `recv` pass; `send_bytes` does not.
        if owner in ("pipe", "connection", "ours", "theirs") and function.attr == "send":
            return [f"{owner}.{function.attr}"]
        if function.attr == "recv" and not node.args:
            return ["recv"]
    return _keywords(node)


def _keywords(call):
    unsafe = {"shell": True, "allow_pickle": True, "safe_mode": False}
    return [
        word.arg
        for word in call.keywords
        if word.arg in unsafe
        and not (isinstance(word.value, ast.Constant) and word.value.value is not unsafe[word.arg])
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "eval(words)",
        "def f():\n    exec(words)",
        "yaml.load(text)",
        "subprocess.run(words, shell=True)",
        "subprocess.run(words, shell=maybe)",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path, safe_mode=False)",
        "os.system(words)",
        "self.pipe.recv()",
        "pipe.send(value)",
    ],
)
def test_the_search_finds(source):
    assert risky(source)


@pytest.mark.parametrize(
    "source",
    [
        "yaml.safe_load(text)",
        "subprocess.run([program])",
        "np.savez(path, allow_pickle=False)",
        "pipe.send_bytes(b'')",
        "re.compile(pattern)",
        "connection.recv(4)",
    ],
)
def test_the_search_lets_pass(source):
    assert not risky(source)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_it_reads(path):
    assert risky(path.read_text()) == []
