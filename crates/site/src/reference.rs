//! The reference of the site file, drawn from the table.
//!
//! Never here: keys of its own.

use crate::codes::CODES;
use crate::table::{self, Field, Form, Need, Shape};

const HEAD: &str = "\
# The site file

A site file says what a site should be. It is YAML 1.2 in UTF-8, at most 1 MiB, called `updraft.yaml` unless `--site` names another. `updraft check` reads it and changes nothing; `updraft schema` prints its JSON Schema, which editors use to complete and check it. Every fault is told at once, with its place and what to do about it, and the exit code is 2.

```yaml
site: hello

networks:
  lan: { cidr: 10.77.0.0/24 }

images:
  debian: { bootstrap: bookworm, packages: [openssh-server] }

groups:
  worker: { image: debian, count: 2, memory: 256MiB, play: plays/worker.yaml }

services:
  hello:
    on: worker
    version: v1
    deploy: plays/hello.yaml
    test: { http: \":8080/health\", expect: ok }
```

";

const NOTATION: &str = "\
## How things are written

| kind | written as |
| --- | --- |
| name | lowercase letters, digits and hyphens, a letter or digit first and last, at most 63 characters; names of groups at most 57, names of accounts at most 32 and with a letter first |
| size | a number with its unit: `512MiB`, `10GiB`, `1.5GB`. KiB, MiB, GiB and TiB (or K, M, G, T) count in 1024, kB, MB, GB and TB in 1000 |
| duration | numbers with units: `30s`, `10m`, `1h30m`, `250ms`. Units are ms, s, m (or min), h and d |
| network | IPv4 with its prefix: `10.77.0.0/24` |
| path | relative to the file it stands in, or absolute; `~/` is the home directory |
| variables | any values by name; a name is letters, digits and underscores |

Text that YAML reads as a number, as true or false or as nothing needs quotes: `version: \"1.10\"`. `yes`, `no`, `on` and `off` are text. A number with a leading zero is refused, as programs disagree on what it means. Aliases (`*name`) may be used; merge keys (`<<`) and tags may not.

";

const ENVIRONMENTS: &str = "\
## Environments

A file that `extends:` another one changes it. Maps are merged key by key; scalars and lists replace what was there; null removes a key. Relative paths are relative to the file they stand in, so a base can be extended from another folder. The extended file may itself extend a third, up to eight files.

```yaml
# prod/updraft.yaml
extends: ../base.yaml
domain: prod.example.com
networks:
  lan: { cidr: 10.80.0.0/24 }          # another range than testing has
groups:
  worker: { count: 6, memory: 2GiB }   # everything else as in ../base.yaml
  debug: ~                             # not in production
```

Updraft keeps what it knows of a site in a folder beside its file and named after it: `.updraft` for `updraft.yaml`, `.updraft-prod` for `prod.yaml`. So environments may share a folder.

Inside `vars`, null is a value like any other, unless there is something to remove.

";

/// The reference of the site file in Markdown: every key with its type, default and an example,
/// and every code of a fault.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    for shape in table::shapes() {
        section(&mut out, shape);
    }
    out.push_str(NOTATION);
    out.push_str(ENVIRONMENTS);
    out.push_str(
        "## Faults\n\nEach fault has a code, which stays the same from version to version.\n\n",
    );
    out.push_str("| code | meaning |\n| --- | --- |\n");
    for (code, meaning) in CODES {
        line(&mut out, &format!("| `{code}` | {meaning} |"));
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn section(out: &mut String, shape: &Shape) {
    let title = match shape.id {
        "site" => "The top".to_owned(),
        id => format!("{}{}", id[..1].to_uppercase(), &id[1..]),
    };
    line(out, &format!("## {title}\n\n{}\n", shape.about));
    line(out, "| key | type | default | example | meaning |\n| --- | --- | --- | --- | --- |");
    for field in shape.keys {
        row(out, field);
    }
    out.push('\n');
    if !shape.one_of.is_empty() {
        let keys: Vec<&str> = shape
            .one_of
            .iter()
            .copied()
            .filter(|key| shape.field(key).is_some_and(|field| field.need != Need::NotYet))
            .collect();
        let text = match keys.as_slice() {
            [only] => format!("`{only}` must be there.\n"),
            keys => format!("Exactly one of {} must be there.\n", crate::shape::listed(keys)),
        };
        line(out, &text);
    }
    for (key, with) in shape.only_with {
        let with = crate::shape::either(with);
        line(out, &format!("`{key}` makes sense only beside {with}.\n"));
    }
    for (key, needed) in shape.needs {
        line(out, &format!("`{key}` needs `{needed}` beside it.\n"));
    }
}

fn row(out: &mut String, field: &Field) {
    let default = match field.need {
        Need::Required => "required".to_owned(),
        Need::Optional => String::new(),
        Need::NotYet => "not in this version".to_owned(),
        Need::Default(text) if text.contains(' ') || text.contains('`') => text.to_owned(),
        Need::Default(text) => format!("`{text}`"),
    };
    let form = kind(&field.form);
    let example = field.example.replace('|', "\\|");
    let text = format!("| `{}` | {form} | {default} | `{example}` | {} |", field.name, field.about);
    line(out, &text);
}

fn kind(form: &Form) -> String {
    match form {
        Form::Text(format) => format.manual().to_owned(),
        Form::Word(words, _) => crate::shape::either(words),
        Form::Int { min, max } => format!("number, {min} to {max}"),
        Form::Flag => "`true` or `false`".to_owned(),
        Form::List(item) => format!("list of {}", kind(item)),
        Form::Named(noun, _, form) => match form.shape() {
            Some(shape) => format!("map of names to [{noun}](#{})", shape.id),
            None => "map".to_owned(),
        },
        Form::Shape(shape) => format!("[{0}](#{0})", shape.id),
        Form::Either(scalar, shape) => format!("{}, or [{1}](#{1})", kind(scalar), shape.id),
        Form::Vars => "variables".to_owned(),
        Form::Anything => "anything".to_owned(),
    }
}
