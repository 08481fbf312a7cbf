# Runs filters, tests and lookups for a template engine that is not Python's: one line of JSON is a
# call, the next one its answer. While a call runs it may ask back for variables and templates, and
# the answer to that may be another call.
#
# What stands on standard output and input is the conversation, so plugins get others.
import contextlib, json, os, queue, sys, threading

sys.dont_write_bytecode = True
sys.path[:] = [place for place in sys.path if place]
_out = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
_in = os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n")
_null = os.open(os.devnull, os.O_RDWR)
os.dup2(_null, 0)
os.dup2(2, 1)
sys.stdin = open(os.devnull)

_lines = queue.SimpleQueue()
_noticed = []
_known = {"beside": []}


def _listen():
    # Whoever started us is gone when nothing more can come, whatever a plugin is doing now.
    for line in _in:
        _lines.put(line)
    os._exit(0)


def say(message):
    _out.write(json.dumps(message))
    _out.write("\n")
    _out.flush()


def hear():
    return json.loads(_lines.get())


def ask(question):
    say(question)
    while True:
        answer = hear()
        if "call" not in answer:
            break
        say(serve(answer))
    if "failed" in answer:
        raise Asked(answer["failed"])
    if "undefined" in answer:
        raise Undefined(answer["undefined"])
    return answer


class Asked(Exception):
    """What was asked for cannot be had."""


class Undefined(Exception):
    """What was asked for is not defined."""


class Unsupported(Exception):
    """Nothing that a variable can hold."""


class Missing(Exception):
    """There is no plugin of that name."""


class OwnText(str):
    """Text that may be rendered, where ansible-core has no mark for it."""


class Variables(dict):
    """Variables of a host, asked for when they are looked at."""

    def __init__(self, path=(), rendered=False):
        super().__init__()
        self._path, self._rendered = tuple(path), rendered

    def _names(self):
        return [decode(name) for name in ask({"ask": "names", "path": list(self._path)})["names"]]

    def __missing__(self, name):
        if not isinstance(name, str):
            raise KeyError(name)
        question = {"ask": "item", "path": list(self._path), "name": name, "rendered": self._rendered}
        answer = ask(question)
        if "value" not in answer:
            raise KeyError(name)
        return self.setdefault(name, decode(answer["value"]))

    def __getitem__(self, name):
        try:
            return super().__getitem__(name)
        except KeyError:
            return self.__missing__(name)

    def get(self, name, default=None):
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name):
        try:
            self[name]
        except KeyError:
            return False
        return True

    def __iter__(self):
        return iter(list(dict.fromkeys(list(super().__iter__()) + self._names())))

    def keys(self):
        return {name: None for name in self}.keys()

    def _all(self):
        return {name: self[name] for name in self if name in self}

    def values(self):
        return self._all().values()

    def items(self):
        return self._all().items()

    def copy(self):
        return self._all()

    def __len__(self):
        return len(list(iter(self)))

    def __bool__(self):
        return True

    def __eq__(self, other):
        return self._all() == other

    __hash__ = None

    def raw_get(self, name):
        return self[name]


def decode(value):
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "" not in value:
        return {key: decode(item) for key, item in value.items()}
    kind, inner = value[""], value.get("v")
    if kind == "d":
        return {decode(key): decode(item) for key, item in inner}
    if kind == "t":
        return tuple(decode(item) for item in inner)
    if kind == "f":
        return float(inner)
    if kind == "T":
        return Core.trust(inner) if Core.is_here else OwnText(inner)
    if kind == "l":
        return Variables(inner)
    import datetime
    if kind == "date":
        return datetime.date.fromisoformat(inner)
    if kind == "time":
        return datetime.time.fromisoformat(inner)
    if kind == "datetime":
        return datetime.datetime.fromisoformat(inner.replace("Z", "+00:00"))
    raise ValueError("a value of kind " + repr(kind))


def encode(value, depth=0):
    if value is None or value is True or value is False:
        return value
    if depth > 100:
        raise ValueError("it is too deep, or contains itself")
    if isinstance(value, str):
        if Core.is_trusted(value):
            return {"": "T", "v": str(value)}
        return str.__str__(value)
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        number = int(value)
        return number if -(2**63) <= number < 2**63 else {"": "i", "v": str(number)}
    if isinstance(value, float):
        number = float(value)
        return number if number - number == 0 else {"": "f", "v": repr(number)}
    deeper = depth + 1
    if isinstance(value, Variables) and value._path:
        return {"": "l", "v": list(value._path)}
    if isinstance(value, (list, tuple)):
        items = [encode(item, deeper) for item in value]
        return {"": "t", "v": items} if isinstance(value, tuple) else items
    if isinstance(value, (bytes, bytearray)):
        return {"": "b", "v": bytes(value).decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()}
    if isinstance(value, dict) or hasattr(type(value), "keys") and hasattr(type(value), "__getitem__"):
        pairs = [(key, value[key]) for key in value.keys()]
        if all(isinstance(key, str) and key for key, _ in pairs):
            return {str.__str__(key): encode(item, deeper) for key, item in pairs}
        return {"": "d", "v": [[encode(key, deeper), encode(item, deeper)] for key, item in pairs]}
    why = Core.undefined(value)
    if why is not None:
        return {"": "u", "v": why}
    plain = Core.decrypted(value)
    if plain is not None:
        return plain
    import datetime
    for kind in (datetime.datetime, datetime.date, datetime.time):
        if isinstance(value, kind):
            return {"": kind.__name__, "v": value.isoformat()}
    walks = hasattr(type(value), "__next__")
    if hasattr(type(value), "__iter__") and not isinstance(value, type) and not (walks and depth):
        return [encode(item, deeper) for item in value]
    raise Unsupported("Type %r is unsupported for variable storage." % type(value).__name__)


