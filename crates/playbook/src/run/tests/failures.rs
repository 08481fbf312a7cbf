//! What is told of a task that fails before its module runs, in the words of either dialect.

use super::*;

const PLAY: &str = "- hosts: all
  gather_facts: false
  ignore_errors: true
  vars:
    inner: \"{{ nope }}\"
  tasks:
    - name: direct
      debug:
        msg: \"{{ nope }}\"
    - debug:
        msg: \"x {{ inner }}\"
    - debug:
        msg: hi
      when: nope == 1
    - debug:
        msg: \"{{ '\\\"\\\\udc80\\\"' | from_json }}\"
";

fn told(dialect: Dialect) -> Ran {
    let mut case = Case::new(PLAY);
    case.dialect = dialect;
    let mut ran = case.run();
    ran.text = ran.text.replace(&ran.dir.path().display().to_string(), "DIR");
    ran
}

#[track_caller]
fn holds(ran: &Ran, part: &str) {
    assert!(ran.text.contains(part), "{part}\nnot in\n{}", ran.text);
}

#[test]
fn each_reason_is_told_with_its_place() {
    let ran = told(Dialect::Core219);
    holds(
        &ran,
        "[ERROR]: Task failed: Finalization of task args for 'ansible.builtin.debug' failed: Error while resolving value for 'msg': 'nope' is undefined

Task failed.
Origin: DIR/site.yml:7:7

5     inner: \"{{ nope }}\"
6   tasks:
7     - name: direct
        ^ column 7

<<< caused by >>>

Finalization of task args for 'ansible.builtin.debug' failed.
Origin: DIR/site.yml:8:7

6   tasks:
7     - name: direct
8       debug:
        ^ column 7

<<< caused by >>>

Error while resolving value for 'msg': 'nope' is undefined
Origin: DIR/site.yml:9:14

7     - name: direct
8       debug:
9         msg: \"{{ nope }}\"
               ^ column 14

fatal: [h1]: FAILED!",
    );
    // The variable that needs what is not there is the last reason.
    holds(
        &ran,
        "
<<< caused by >>>

Error while resolving value for 'msg'.
Origin: DIR/site.yml:11:14
",
    );
    holds(
        &ran,
        "
<<< caused by >>>

'nope' is undefined
Origin: DIR/site.yml:5:12
",
    );
    holds(
        &ran,
        "
<<< caused by >>>

Error while evaluating conditional: 'nope' is undefined
Origin: DIR/site.yml:14:13
",
    );
    // A reason without a place stands alone when it says what to do.
    holds(
        &ran,
        "
<<< caused by >>>

Refusing to deserialize an invalid UTF8 string value: 'utf-8' codec can't encode character '\\udc80' in position 0: surrogates not allowed This check can be disabled with the `MODULE_STRICT_UTF8_RESPONSE` setting.

fatal:",
    );
}

#[test]
fn the_older_dialect_has_all_in_one_message() {
    let ran = told(Dialect::Core214);
    assert!(!ran.text.contains("[ERROR]"), "{}", ran.text);
    holds(
        &ran,
        r#"fatal: [h1]: FAILED! => {"msg": "The task includes an option with an undefined variable. The error was: 'nope' is undefined. 'nope' is undefined\n\nThe error appears to be in 'DIR/site.yml': line 7, column 7, but may\nbe elsewhere in the file depending on the exact syntax problem.\n\nThe offending line appears to be:\n\n  tasks:\n    - name: direct\n      ^ here\n"}"#,
    );
    holds(
        &ran,
        "The error was: {{ nope }}: 'nope' is undefined. 'nope' is undefined. {{ nope }}: 'nope' is undefined. 'nope' is undefined\\n",
    );
    holds(
        &ran,
        "The conditional check 'nope == 1' failed. The error was: error while evaluating conditional (nope == 1): 'nope' is undefined. 'nope' is undefined\\n",
    );
}

#[test]
fn whoever_cannot_be_become_is_told_in_the_words_of_the_dialect() {
    use crate::run::failure::not_become;
    let told = |said: &str, dialect| {
        let result = crate::run::outcome::failed(said.to_owned());
        let result = not_become(&result, dialect);
        let of = |name: &str| result.get(name).map(Value::to_text).unwrap_or_default();
        [of("msg"), of("module_stderr"), of("rc")]
    };
    let (old, new) = (Dialect::Core214, Dialect::Core219);
    let missing = "cannot become `root` by sudo: sudo: a password is required";
    assert_eq!(told(missing, old), ["Missing sudo password", "", ""]);
    assert_eq!(told(missing, new), ["Task failed: Missing sudo password", "", ""]);
    let wrong = "cannot become `app` by su: the password was not accepted";
    assert_eq!(told(wrong, old)[0], "Incorrect su password");
    let wrong = "cannot become `root` by su: Password: su: Authentication failure";
    assert_eq!(told(wrong, new)[0], "Task failed: Incorrect su password");
    let nowhere = "cannot become `root` by sudo: /opt/sudo: not found";
    let [msg, stderr, rc] = told(nowhere, old);
    assert_eq!(msg, "MODULE FAILURE\nSee stdout/stderr for the exact error");
    assert_eq!((&*stderr, &*rc), ("/bin/sh: 1: /opt/sudo: not found\n", "127"));
    assert_eq!(told(nowhere, new)[0], nowhere);
    let ghost = "cannot become `ghost` by sudo: sudo: unknown user ghost";
    assert_eq!(told(ghost, old)[1..], ["sudo: unknown user ghost\n", "1"]);
}
