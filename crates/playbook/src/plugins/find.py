class Core:
    """The ansible-core that is installed, if one is."""

    is_here = False
    version = ()
    tag = None
    engine = None
    marker = None

    @classmethod
    def start(cls, packages):
        if packages is None:
            return
        try:
            import ansible
        except ImportError:
            sys.path.append(packages)
        from ansible import release
        from ansible.plugins import loader
        from ansible.utils.display import Display
        cls.loader = loader
        cls.version = tuple(int(part) for part in release.__version__.split(".")[:2])
        if hasattr(loader, "init_plugin_loader"):
            loader.init_plugin_loader()
        for name in ("warning", "error_as_warning"):
            if hasattr(Display, name):
                setattr(Display, name, cls.notice)
        for name in ("deprecated", "display", "v", "vv", "vvv", "vvvv", "debug"):
            if hasattr(Display, name):
                setattr(Display, name, lambda *args, **named: None)
        try:
            from ansible._internal._datatag._tags import TrustedAsTemplate
            from ansible._internal._templating._jinja_common import Marker, MarkerError
            cls.tag, cls.marker, cls.marker_error = TrustedAsTemplate, Marker, MarkerError
        except ImportError:
            pass
        cls.is_here = True

    @staticmethod
    def notice(_display, msg=None, *args, **named):
        if msg is None:
            msg = named.get("exception", "")
        if str(msg) not in _noticed:
            _noticed.append(str(msg))

    @classmethod
    def trust(cls, text):
        return cls.tag().tag(text) if cls.tag else OwnText(text)

    @classmethod
    def is_trusted(cls, text):
        return isinstance(text, OwnText) or bool(cls.tag and cls.tag.is_tagged_on(text))

    @classmethod
    def undefined(cls, value):
        if "jinja2" not in sys.modules:
            return None
        from jinja2 import Undefined as JinjaUndefined
        if isinstance(value, JinjaUndefined):
            return value._undefined_message
        return None

    @classmethod
    def decrypted(cls, value):
        if type(value).__name__ in ("EncryptedString", "AnsibleVaultEncryptedUnicode"):
            return str(value)
        return None

    @classmethod
    def beside(cls, dirs):
        from ansible.utils.collection_loader import AnsibleCollectionConfig
        for place in dirs:
            if os.path.isdir(place):
                cls.loader.add_all_plugin_dirs(place)
        places = [place for place in _known["beside"] if os.path.isdir(os.path.join(place, "collections"))]
        AnsibleCollectionConfig.playbook_paths = places

    @classmethod
    def is_own(cls, plugin):
        import ansible
        path = getattr(plugin, "_original_path", None) or ""
        return not path or path.startswith(os.path.dirname(ansible.__file__) + os.sep)

    @classmethod
    def find(cls, kind, name, **more):
        loader = getattr(cls.loader, kind + "_loader")
        try:
            plugin = loader.get(name, **more)
        except KeyError as error:
            raise Missing() from error
        except Exception as error:
            raise Told("load", kind, name, error) from error
        if plugin is None:
            raise Missing()
        return plugin

    @classmethod
    def function(cls, kind, name, ours):
        plugin = cls.find(kind, name)
        if ours and cls.is_own(plugin):
            raise Missing()
        return plugin.j2_function, getattr(plugin, "ansible_name", None) or name

    @classmethod
    def data_loader(cls, variables):
        from ansible.parsing.dataloader import DataLoader
        loader = DataLoader()
        basedir = variables.get("playbook_dir")
        if basedir:
            loader.set_basedir(str(basedir))
        return loader

    @classmethod
    def templar(cls, loader, variables):
        from ansible.template import Templar

        class Asking(Templar):
            """Renders by asking; what it is asked seldom is Ansible's own way."""

            def template(self, variable, *args, **named):
                if named.get("overrides") or named.get("convert_bare"):
                    return Templar(loader=loader, variables=variables._all()).template(variable, *args, **named)
                try:
                    return decode(ask({"ask": "template", "value": encode(variable)})["value"])
                except Undefined as error:
                    if named.get("fail_on_undefined", True):
                        from ansible.errors import AnsibleUndefinedVariable
                        raise AnsibleUndefinedVariable(str(error)) from None
                    return variable

            do_template = template

            def evaluate_expression(self, expression, **named):
                return self.template(Core.trust("{{ " + expression + " }}"))

            @property
            def available_variables(self):
                return variables

            @available_variables.setter
            def available_variables(self, value):
                pass

            _available_variables = available_variables

            def copy_with_new_env(self, available_variables=None, **named):
                if available_variables is None or available_variables is variables:
                    return self
                return Templar(loader=loader, variables=dict(available_variables))

        return Asking(loader=loader, variables={})

    @classmethod
    def rendering(cls):
        """What is around a plugin while a template is rendered."""
        try:
            from ansible._internal._templating._engine import TemplateEngine, TemplateOptions
            from ansible._internal._templating._utils import TemplateContext
        except ImportError:
            return contextlib.nullcontext()
        if cls.engine is None:
            cls.engine = TemplateEngine(loader=None, variables={})
        return TemplateContext(template_value="", templar=cls.engine, options=TemplateOptions(), stop_on_template=False)

    @classmethod
    def jinja(cls, function):
        """The first argument that a function wants from Jinja."""
        try:
            from jinja2.utils import _PassArg
        except ImportError:
            return []
        wanted = _PassArg.from_obj(function)
        if wanted is None:
            return []
        from ansible.template import Templar
        environment = Templar(loader=None, variables={}).environment
        if wanted is _PassArg.environment:
            return [environment]
        if wanted is _PassArg.eval_context:
            from jinja2.nodes import EvalContext
            return [EvalContext(environment)]
        return [environment.context_class(environment, Variables(rendered=True), None, {})]


class Told(Exception):
    """A failure as Ansible tells it."""

    def __init__(self, what, kind, name, error):
        self.text = failure(what, kind, name, error)
        super().__init__(self.text)


def failure(what, kind, name, error):
    verb = "failed to load" if what == "load" else "failed"
    start = "The %s plugin %r %s" % (kind, str(name), verb)
    try:
        from ansible._internal._errors._error_utils import format_exception_message
        return start + ": " + format_exception_message(error)
    except ImportError:
        return start + ": " + (str(error) or type(error).__name__)


class Bare:
    """Filters and tests beside playbooks and in roles, where no ansible-core is installed."""

    found = {}

    @classmethod
    def beside(cls, dirs):
        for place in dirs:
            for kind in ("filter", "test"):
                folder = os.path.join(place, kind + "_plugins")
                names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
                for name in names:
                    if name.endswith(".py") and name != "__init__.py" and name[0] != ".":
                        cls.read(kind, os.path.join(folder, name))

    @classmethod
    def read(cls, kind, path):
        import importlib.util
        stem = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_file_location("ansible.plugins.%s.%d_%s" % (kind, len(sys.modules), stem), path)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            maker = getattr(module, "FilterModule" if kind == "filter" else "TestModule")()
            plugins = maker.filters() if kind == "filter" else maker.tests()
        except Exception as error:
            _noticed.append("Skipping plugin (%s), cannot load: %s" % (path, error))
            return
        for name, function in plugins.items():
            cls.found.setdefault((kind, name), function)

    @classmethod
    def function(cls, kind, name, ours):
        short = name[len("ansible.legacy."):] if name.startswith("ansible.legacy.") else name
        if (kind, short) in cls.found:
            return cls.found[kind, short], short
        raise Missing()


def apply(kind, name, ours, args, named):
    home = Core if Core.is_here else Bare
    if kind == "lookup":
        return look_up(name, ours, args, named)
    function, full = home.function(kind, name, ours)
    try:
        first = Core.jinja(function) if Core.is_here else []
        with Core.rendering() if Core.is_here else contextlib.nullcontext():
            result = function(*first, *args, **named)
            return bool(result) if kind == "test" else encode(result)
    except (Asked, Undefined, Unsupported, Told):
        raise
    except Exception as error:
        marker = undefined_of(error)
        if marker is not None:
            raise Undefined(marker) from error
        raise Told("run", kind, full, error) from error


def look_up(name, ours, terms, named):
    if not Core.is_here:
        raise Missing()
    variables = Variables()
    loader = Core.data_loader(variables)
    plugin = Core.find("lookup", name, loader=loader, templar=Core.templar(loader, variables))
    if ours and Core.is_own(plugin):
        raise Missing()
    try:
        result = plugin.run(terms, variables=variables, **named)
        if isinstance(result, (str, bytes)) or not hasattr(type(result), "__getitem__") or isinstance(result, dict):
            raise TypeError("returned %s instead of %s" % (type(result), list))
        return [encode(item) for item in result]
    except (Asked, Undefined, Unsupported, Told):
        raise
    except Exception as error:
        marker = undefined_of(error)
        if marker is not None:
            raise Undefined(marker) from error
        raise Told("run", "lookup", name, error) from error


def undefined_of(error):
    """What is undefined, if that is what went wrong in what a plugin was given."""
    while error is not None:
        if isinstance(error, Undefined):
            return str(error)
        source = getattr(error, "source", None)
        if Core.marker is not None and isinstance(error, Core.marker_error) and source is not None:
            return source._undefined_message
        error = error.__cause__
    return None


def serve(call):
    # Whoever asks is in the same directory.
    new = [os.path.abspath(place) for place in call.get("beside") or []]
    _known["beside"].extend(new)
    try:
        if new:
            (Core if Core.is_here else Bare).beside(new)
        named = {name: decode(value) for name, value in call["named"]}
        result = apply(call["call"], call["name"], call["ours"], decode(call["args"]), named)
        return {"gave": result}
    except Missing:
        # Whatever could not be loaded may be what is missed.
        return {"none": [text for text in _noticed if text.startswith("Skipping")]}
    except Undefined as error:
        return {"undefined": str(error)}
    except Unsupported as error:
        return {"unsupported": str(error)}
    except Asked as error:
        return {"failed": str(error)}
    except Told as error:
        return {"failed": error.text}
    except (Exception, SystemExit) as error:
        return {"failed": failure("run", call["call"], call["name"], error)}


def main():
    threading.Thread(target=_listen, daemon=True).start()
    try:
        Core.start(start["packages"])
    except Exception as error:
        say({"failed": "%s: %s" % (type(error).__name__, error)})
        return
    say({"ready": True})
    while True:
        say(serve(hear()))


main()
