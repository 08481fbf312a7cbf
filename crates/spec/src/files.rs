//! Modules that read and write files.

use crate::{Arg, Kind, Preset, arg};

pub(crate) const STAT_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "name"]).required(),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
    arg("get_checksum", Kind::Bool).default(Preset::Bool(true)),
    arg("get_mime", Kind::Bool)
        .aka(&["mime", "mime_type", "mime-type"])
        .default(Preset::Bool(true)),
    arg("get_attributes", Kind::Bool).aka(&["attr", "attributes"]).default(Preset::Bool(true)),
    arg("checksum_algorithm", Kind::Str)
        .aka(&["checksum", "checksum_algo"])
        .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
        .default(Preset::Str("sha1")),
];

pub(crate) const FILE_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["absent", "directory", "file", "hard", "link", "touch"]),
    arg("path", Kind::Path).aka(&["dest", "name"]).required(),
    arg("_original_basename", Kind::Str),
    arg("recurse", Kind::Bool).default(Preset::Bool(false)),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("follow", Kind::Bool).default(Preset::Bool(true)),
    arg("_diff_peek", Kind::Bool),
    arg("src", Kind::Path),
    arg("modification_time", Kind::Str),
    arg("modification_time_format", Kind::Str).default(Preset::Str("%Y%m%d%H%M.%S")),
    arg("access_time", Kind::Str),
    arg("access_time_format", Kind::Str).default(Preset::Str("%Y%m%d%H%M.%S")),
];

pub(crate) const LINEINFILE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile", "name"]).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("regexp", Kind::Str).aka(&["regex"]),
    arg("search_string", Kind::Str),
    arg("line", Kind::Str).aka(&["value"]),
    arg("insertafter", Kind::Str),
    arg("insertbefore", Kind::Str),
    arg("backrefs", Kind::Bool).default(Preset::Bool(false)),
    arg("create", Kind::Bool).default(Preset::Bool(false)),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("firstmatch", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
];

pub(crate) const BLOCKINFILE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile", "name"]).required(),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("marker", Kind::Str).default(Preset::Str("# {mark} ANSIBLE MANAGED BLOCK")),
    arg("block", Kind::Str).aka(&["content"]).default(Preset::Str("")),
    arg("insertafter", Kind::Str),
    arg("insertbefore", Kind::Str),
    arg("create", Kind::Bool).default(Preset::Bool(false)),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
    arg("marker_begin", Kind::Str).default(Preset::Str("BEGIN")),
    arg("marker_end", Kind::Str).default(Preset::Str("END")),
    arg("append_newline", Kind::Bool).default(Preset::Bool(false)),
    arg("prepend_newline", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const REPLACE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest", "destfile", "name"]).required(),
    arg("regexp", Kind::Str).required(),
    arg("replace", Kind::Str).default(Preset::Str("")),
    arg("after", Kind::Str),
    arg("before", Kind::Str),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
    arg("encoding", Kind::Str).default(Preset::Str("utf-8")),
];

pub(crate) const SLURP_ARGS: &[Arg] = &[arg("src", Kind::Path).aka(&["path"]).required()];

pub(crate) const TEMPFILE_ARGS: &[Arg] = &[
    arg("state", Kind::Str).choices(&["file", "directory"]).default(Preset::Str("file")),
    arg("path", Kind::Path),
    arg("prefix", Kind::Str).default(Preset::Str("ansible.")),
    arg("suffix", Kind::Str).default(Preset::Str("")),
];

pub(crate) const FIND_ARGS: &[Arg] = &[
    arg("paths", Kind::List).of(Kind::Path).aka(&["name", "path"]).required(),
    arg("patterns", Kind::List).aka(&["pattern"]).default(Preset::List(&[])),
    arg("excludes", Kind::List).aka(&["exclude"]),
    arg("contains", Kind::Str),
    arg("read_whole_file", Kind::Bool).default(Preset::Bool(false)),
    arg("file_type", Kind::Str)
        .choices(&["any", "directory", "file", "link"])
        .default(Preset::Str("file")),
    arg("age", Kind::Str),
    arg("age_stamp", Kind::Str).choices(&["atime", "ctime", "mtime"]).default(Preset::Str("mtime")),
    arg("size", Kind::Str),
    arg("recurse", Kind::Bool).default(Preset::Bool(false)),
    arg("hidden", Kind::Bool).default(Preset::Bool(false)),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
    arg("get_checksum", Kind::Bool).default(Preset::Bool(false)),
    arg("checksum_algorithm", Kind::Str)
        .aka(&["checksum", "checksum_algo"])
        .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
        .default(Preset::Str("sha1")),
    arg("use_regex", Kind::Bool).default(Preset::Bool(false)),
    arg("depth", Kind::Int),
    arg("mode", Kind::Raw),
    arg("exact_mode", Kind::Bool).default(Preset::Bool(true)),
    arg("encoding", Kind::Str),
    arg("limit", Kind::Int),
];

pub(crate) const ASSEMBLE_ARGS: &[Arg] = &[
    arg("src", Kind::Path).required(),
    arg("delimiter", Kind::Str),
    arg("dest", Kind::Path).required(),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("remote_src", Kind::Bool).default(Preset::Bool(true)),
    arg("regexp", Kind::Str),
    arg("ignore_hidden", Kind::Bool).default(Preset::Bool(false)),
    arg("validate", Kind::Str),
    arg("decrypt", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const UNARCHIVE_ARGS: &[Arg] = &[
    arg("src", Kind::Path).required(),
    arg("dest", Kind::Path).required(),
    arg("remote_src", Kind::Bool).default(Preset::Bool(false)),
    arg("creates", Kind::Path),
    arg("list_files", Kind::Bool).default(Preset::Bool(false)),
    arg("keep_newer", Kind::Bool).default(Preset::Bool(false)),
    arg("exclude", Kind::List).default(Preset::List(&[])),
    arg("include", Kind::List).default(Preset::List(&[])),
    arg("extra_opts", Kind::List).default(Preset::List(&[])),
    arg("validate_certs", Kind::Bool).default(Preset::Bool(true)),
    arg("io_buffer_size", Kind::Int).default(Preset::Int(65536)),
    arg("copy", Kind::Bool).default(Preset::Bool(true)),
    arg("decrypt", Kind::Bool).default(Preset::Bool(true)),
];

pub(crate) const COPY_ARGS: &[Arg] = &[
    arg("src", Kind::Path),
    arg("_original_basename", Kind::Str),
    arg("content", Kind::Raw),
    arg("dest", Kind::Path).required(),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("decrypt", Kind::Bool).default(Preset::Bool(true)),
    arg("force", Kind::Bool).default(Preset::Bool(true)),
    arg("validate", Kind::Str),
    arg("directory_mode", Kind::Raw),
    arg("remote_src", Kind::Bool).default(Preset::Bool(false)),
    arg("local_follow", Kind::Bool),
    arg("checksum", Kind::Str),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const SYNCHRONIZE_ARGS: &[Arg] = &[
    arg("src", Kind::Path).required(),
    arg("dest", Kind::Path).required(),
    arg("dest_port", Kind::Int),
    arg("delete", Kind::Bool).default(Preset::Bool(false)),
    arg("private_key", Kind::Path),
    arg("rsync_path", Kind::Str),
    arg("_local_rsync_path", Kind::Path).default(Preset::Str("rsync")),
    arg("_local_rsync_password", Kind::Str).secret(),
    arg("_substitute_controller", Kind::Bool).default(Preset::Bool(false)),
    arg("archive", Kind::Bool).default(Preset::Bool(true)),
    arg("checksum", Kind::Bool).default(Preset::Bool(false)),
    arg("compress", Kind::Bool).default(Preset::Bool(true)),
    arg("existing_only", Kind::Bool).default(Preset::Bool(false)),
    arg("dirs", Kind::Bool).default(Preset::Bool(false)),
    arg("recursive", Kind::Bool),
    arg("links", Kind::Bool),
    arg("copy_links", Kind::Bool).default(Preset::Bool(false)),
    arg("perms", Kind::Bool),
    arg("times", Kind::Bool),
    arg("owner", Kind::Bool),
    arg("group", Kind::Bool),
    arg("set_remote_user", Kind::Bool).default(Preset::Bool(true)),
    arg("rsync_timeout", Kind::Int).default(Preset::Int(0)),
    arg("rsync_opts", Kind::List).default(Preset::List(&[])),
    arg("_ssh_args", Kind::Str),
    arg("use_ssh_args", Kind::Bool).default(Preset::Bool(false)),
    arg("ssh_connection_multiplexing", Kind::Bool).default(Preset::Bool(false)),
    arg("partial", Kind::Bool).default(Preset::Bool(false)),
    arg("verify_host", Kind::Bool).default(Preset::Bool(false)),
    arg("delay_updates", Kind::Bool).default(Preset::Bool(true)),
    arg("mode", Kind::Str).choices(&["pull", "push"]).default(Preset::Str("push")),
    arg("link_dest", Kind::List).of(Kind::Path),
];

pub(crate) const INI_FILE_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["dest"]).required(),
    arg("section", Kind::Str),
    arg("option", Kind::Str),
    arg("value", Kind::Str),
    arg("values", Kind::List),
    arg("backup", Kind::Bool).default(Preset::Bool(false)),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("exclusive", Kind::Bool).default(Preset::Bool(true)),
    arg("no_extra_spaces", Kind::Bool).default(Preset::Bool(false)),
    arg("ignore_spaces", Kind::Bool).default(Preset::Bool(false)),
    arg("allow_no_value", Kind::Bool).default(Preset::Bool(false)),
    arg("modify_inactive_option", Kind::Bool).default(Preset::Bool(true)),
    arg("create", Kind::Bool).default(Preset::Bool(true)),
    arg("follow", Kind::Bool).default(Preset::Bool(false)),
];

pub(crate) const ACL_ARGS: &[Arg] = &[
    arg("path", Kind::Path).aka(&["name"]).required(),
    arg("entry", Kind::Str),
    arg("entity", Kind::Str).default(Preset::Str("")),
    arg("etype", Kind::Str).choices(&["group", "mask", "other", "user"]),
    arg("permissions", Kind::Str),
    arg("state", Kind::Str).choices(&["absent", "present", "query"]).default(Preset::Str("query")),
    arg("follow", Kind::Bool).default(Preset::Bool(true)),
    arg("default", Kind::Bool).default(Preset::Bool(false)),
    arg("recursive", Kind::Bool).aka(&["recurse"]).default(Preset::Bool(false)),
    arg("recalculate_mask", Kind::Str)
        .choices(&["default", "mask", "no_mask"])
        .default(Preset::Str("default")),
    arg("use_nfsv4_acls", Kind::Bool).default(Preset::Bool(false)),
];
