import collections
import datetime

from jinja2 import pass_context, pass_environment


@pass_context
def seen(context, value):
    return [context.get("raw"), context.resolve("d"), "nowhere" in context]


@pass_environment
def louder(environment, value):
    return environment.filters["upper"](value)


class Odd:
    def __str__(self):
        return "odd"

class SubStr(str):
    pass

def boom(value):
    raise ValueError("boom %s" % value)

def chained(value):
    try:
        raise ValueError("inner")
    except ValueError as ex:
        raise RuntimeError("outer") from ex

def gives(value, what):
    return {
        "bytes": b"by\xc3\xa9", "badbytes": b"\xff", "tuple": (1, 2), "set": {3}, "gen": (x for x in [1, 2]),
        "nested_gen": [(x for x in [1])], "odd": Odd(), "date": datetime.date(2020, 1, 2),
        "datetime": datetime.datetime(2020, 1, 2, 3, 4, 5), "od": collections.OrderedDict(a=1),
        "sub": SubStr("s"), "template": "{{ 1 + 1 }}", "none": None, "keys": {1: "a", "b": (1,)},
        "big": 2**70, "nan": float("nan"), "range": range(3), "dv": {"a": 1}.keys(),
        "oddin": [Odd()],
    }[what]

class FilterModule(object):
    def filters(self):
        return {
            "shout": lambda value, mark="!": str(value).upper() + mark,
            "boom": boom, "seen": seen, "louder": louder, "chained": chained, "gives": gives, "pytype": lambda v: type(v).__name__,
            "join": lambda v, *a: "own join",
            "default": lambda v, *a: "own default",
            "mutates": lambda v: v.append(9) or v,
            "bare_msg": lambda v: (_ for _ in ()).throw(KeyError("k")),
        }
