//! Modules that have a container daemon do what they are asked.
//!
//! How the daemon is reached stands first in each of them, and is the same.

use crate::{Arg, Kind, Preset, arg};

const CONTAINER_BEHAVIOR: &[&str] = &["compatibility", "no_defaults"];

const RATE_IN_BYTES: &[Arg] =
    &[arg("path", Kind::Str).required(), arg("rate", Kind::Str).required()];

const RATE_IN_OPERATIONS: &[Arg] =
    &[arg("path", Kind::Str).required(), arg("rate", Kind::Int).required()];

const DEVICE_REQUEST: &[Arg] = &[
    arg("capabilities", Kind::List).of(Kind::List),
    arg("count", Kind::Int),
    arg("device_ids", Kind::List),
    arg("driver", Kind::Str),
    arg("options", Kind::Dict),
];

const HEALTHCHECK: &[Arg] = &[
    arg("test", Kind::Raw),
    arg("test_cli_compatible", Kind::Bool).default(Preset::Bool(false)),
    arg("interval", Kind::Str),
    arg("timeout", Kind::Str),
    arg("start_period", Kind::Str),
    arg("start_interval", Kind::Str),
    arg("retries", Kind::Int),
];

const NETWORK: &[Arg] = &[
    arg("name", Kind::Str).required(),
    arg("ipv4_address", Kind::Str),
    arg("ipv6_address", Kind::Str),
    arg("aliases", Kind::List),
    arg("links", Kind::List),
    arg("mac_address", Kind::Str),
];

const MOUNT: &[Arg] = &[
    arg("target", Kind::Str).required(),
    arg("source", Kind::Str),
    arg("type", Kind::Str)
        .choices(&["bind", "volume", "tmpfs", "npipe", "cluster", "image"])
        .default(Preset::Str("volume")),
    arg("read_only", Kind::Bool),
    arg("consistency", Kind::Str).choices(&["default", "consistent", "cached", "delegated"]),
    arg("propagation", Kind::Str)
        .choices(&["private", "rprivate", "shared", "rshared", "slave", "rslave"]),
    arg("no_copy", Kind::Bool),
    arg("labels", Kind::Dict),
    arg("volume_driver", Kind::Str),
    arg("volume_options", Kind::Dict),
    arg("tmpfs_size", Kind::Str),
    arg("tmpfs_mode", Kind::Str),
    arg("non_recursive", Kind::Bool),
    arg("create_mountpoint", Kind::Bool),
    arg("read_only_non_recursive", Kind::Bool),
    arg("read_only_force_recursive", Kind::Bool),
    arg("subpath", Kind::Str),
    arg("tmpfs_options", Kind::List).of(Kind::Dict),
];

const ADDRESS_POOL: &[Arg] = &[
    arg("subnet", Kind::Str),
    arg("iprange", Kind::Str),
    arg("gateway", Kind::Str),
    arg("aux_addresses", Kind::Dict),
];

const BUILD_LIMITS: &[Arg] = &[
    arg("memory", Kind::Str),
    arg("memswap", Kind::Str),
    arg("cpushares", Kind::Int),
    arg("cpusetcpus", Kind::Str),
];

const BUILD: &[Arg] = &[
    arg("cache_from", Kind::List),
    arg("container_limits", Kind::Dict).options(BUILD_LIMITS),
    arg("dockerfile", Kind::Str),
    arg("http_timeout", Kind::Int),
    arg("network", Kind::Str),
    arg("nocache", Kind::Bool).default(Preset::Bool(false)),
    arg("path", Kind::Path).required(),
    arg("pull", Kind::Bool).default(Preset::Bool(false)),
    arg("rm", Kind::Bool).default(Preset::Bool(true)),
    arg("args", Kind::Dict),
    arg("use_config_proxy", Kind::Bool),
    arg("target", Kind::Str),
    arg("etc_hosts", Kind::Dict),
    arg("platform", Kind::Str),
    arg("shm_size", Kind::Str),
    arg("labels", Kind::Dict),
];

const PULL: &[Arg] = &[arg("platform", Kind::Str)];

const DOCKER_HOST: Arg = arg("docker_host", Kind::Str).aka(&["docker_url"]);
const TLS_HOSTNAME: Arg = arg("tls_hostname", Kind::Str);
const API_VERSION: Arg = arg("api_version", Kind::Str).aka(&["docker_api_version"]);
const TIMEOUT: Arg = arg("timeout", Kind::Int);
const CA_PATH: Arg = arg("ca_path", Kind::Path).aka(&["ca_cert", "tls_ca_cert", "cacert_path"]);
const CLIENT_CERT: Arg = arg("client_cert", Kind::Path).aka(&["tls_client_cert", "cert_path"]);
const CLIENT_KEY: Arg = arg("client_key", Kind::Path).aka(&["tls_client_key", "key_path"]);
const TLS: Arg = arg("tls", Kind::Bool);
const USE_SSH_CLIENT: Arg = arg("use_ssh_client", Kind::Bool).default(Preset::Bool(false));
const VALIDATE_CERTS: Arg = arg("validate_certs", Kind::Bool).aka(&["tls_verify"]);
const DEBUG: Arg = arg("debug", Kind::Bool).default(Preset::Bool(false));

pub(crate) const TOGETHER: &[&[&str]] = &[&["client_cert", "client_key"]];

pub(crate) const DOCKER_CONTAINER_ARGS: &[Arg] = &[
    DOCKER_HOST,
    TLS_HOSTNAME,
    API_VERSION,
    TIMEOUT,
    CA_PATH,
    CLIENT_CERT,
    CLIENT_KEY,
    TLS,
    USE_SSH_CLIENT,
    VALIDATE_CERTS,
    DEBUG,
    arg("cleanup", Kind::Bool).default(Preset::Bool(false)),
    arg("comparisons", Kind::Dict),
    arg("container_default_behavior", Kind::Str)
        .choices(CONTAINER_BEHAVIOR)
        .default(Preset::Str("no_defaults")),
    arg("command_handling", Kind::Str)
        .choices(&["compatibility", "correct"])
        .default(Preset::Str("correct")),
    arg("default_host_ip", Kind::Str),
    arg("force_kill", Kind::Bool).aka(&["forcekill"]).default(Preset::Bool(false)),
    arg("image", Kind::Str),
    arg("image_comparison", Kind::Str)
        .choices(&["desired-image", "current-image"])
        .default(Preset::Str("desired-image")),
    arg("image_label_mismatch", Kind::Str)
        .choices(&["ignore", "fail"])
        .default(Preset::Str("ignore")),
    arg("image_name_mismatch", Kind::Str)
        .choices(&["ignore", "recreate"])
        .default(Preset::Str("recreate")),
    arg("keep_volumes", Kind::Bool).default(Preset::Bool(true)),
    arg("kill_signal", Kind::Str),
    arg("name", Kind::Str).required(),
    arg("networks_cli_compatible", Kind::Bool).default(Preset::Bool(true)),
    arg("output_logs", Kind::Bool).default(Preset::Bool(false)),
    arg("paused", Kind::Bool),
    arg("pull", Kind::Raw)
        .choices(&["never", "missing", "always", "True", "False"])
        .default(Preset::Str("missing")),
    arg("pull_check_mode_behavior", Kind::Str)
        .choices(&["image_not_present", "always"])
        .default(Preset::Str("image_not_present")),
    arg("recreate", Kind::Bool).default(Preset::Bool(false)),
    arg("removal_wait_timeout", Kind::Float),
    arg("restart", Kind::Bool).default(Preset::Bool(false)),
    arg("state", Kind::Str)
        .choices(&["absent", "present", "healthy", "started", "stopped"])
        .default(Preset::Str("started")),
    arg("healthy_wait_timeout", Kind::Float).default(Preset::Int(300)),
    arg("auto_remove", Kind::Bool),
    arg("blkio_weight", Kind::Int),
    arg("capabilities", Kind::List),
    arg("cap_drop", Kind::List),
    arg("cgroupns_mode", Kind::Str).choices(&["private", "host"]),
    arg("cgroup_parent", Kind::Str),
    arg("command", Kind::Raw),
    arg("cpu_period", Kind::Int),
    arg("cpu_quota", Kind::Int),
    arg("cpuset_cpus", Kind::Str),
    arg("cpuset_mems", Kind::Str),
    arg("cpu_shares", Kind::Int),
    arg("entrypoint", Kind::List),
    arg("cpus", Kind::Float),
    arg("detach", Kind::Bool),
    arg("interactive", Kind::Bool),
    arg("devices", Kind::List),
    arg("device_read_bps", Kind::List).of(Kind::Dict).options(RATE_IN_BYTES),
    arg("device_write_bps", Kind::List).of(Kind::Dict).options(RATE_IN_BYTES),
    arg("device_read_iops", Kind::List).of(Kind::Dict).options(RATE_IN_OPERATIONS),
    arg("device_write_iops", Kind::List).of(Kind::Dict).options(RATE_IN_OPERATIONS),
    arg("device_requests", Kind::List).of(Kind::Dict).options(DEVICE_REQUEST),
    arg("device_cgroup_rules", Kind::List),
    arg("dns_servers", Kind::List),
    arg("dns_opts", Kind::List),
    arg("dns_search_domains", Kind::List),
    arg("domainname", Kind::Str),
    arg("env", Kind::Dict),
    arg("env_file", Kind::Path),
    arg("etc_hosts", Kind::Dict),
    arg("groups", Kind::List),
    arg("healthcheck", Kind::Dict).options(HEALTHCHECK),
    arg("hostname", Kind::Str),
    arg("init", Kind::Bool),
    arg("ipc_mode", Kind::Str),
    arg("kernel_memory", Kind::Str),
    arg("labels", Kind::Dict),
    arg("links", Kind::List),
    arg("log_driver", Kind::Str),
    arg("log_options", Kind::Dict).aka(&["log_opt"]),
    arg("mac_address", Kind::Str),
    arg("memory", Kind::Str),
    arg("memory_reservation", Kind::Str),
    arg("memory_swap", Kind::Str),
    arg("memory_swappiness", Kind::Int),
    arg("stop_timeout", Kind::Int),
    arg("network_mode", Kind::Str),
    arg("networks", Kind::List).of(Kind::Dict).options(NETWORK),
    arg("oom_killer", Kind::Bool),
    arg("oom_score_adj", Kind::Int),
    arg("pid_mode", Kind::Str),
    arg("pids_limit", Kind::Int),
    arg("platform", Kind::Str),
    arg("privileged", Kind::Bool),
    arg("read_only", Kind::Bool),
    arg("restart_policy", Kind::Str).choices(&["no", "on-failure", "always", "unless-stopped"]),
    arg("restart_retries", Kind::Int),
    arg("runtime", Kind::Str),
    arg("security_opts", Kind::List),
    arg("shm_size", Kind::Str),
    arg("stop_signal", Kind::Str),
    arg("storage_opts", Kind::Dict),
    arg("sysctls", Kind::Dict),
    arg("tmpfs", Kind::List),
    arg("tty", Kind::Bool),
    arg("ulimits", Kind::List),
    arg("user", Kind::Str),
    arg("userns_mode", Kind::Str),
    arg("uts", Kind::Str),
    arg("volume_driver", Kind::Str),
    arg("volumes_from", Kind::List),
    arg("working_dir", Kind::Str),
    arg("mounts", Kind::List).of(Kind::Dict).options(MOUNT),
    arg("volumes", Kind::List),
    arg("exposed_ports", Kind::List).aka(&["exposed", "expose"]),
    arg("publish_all_ports", Kind::Bool),
    arg("published_ports", Kind::List).aka(&["ports"]),
];

pub(crate) const DOCKER_IMAGE_ARGS: &[Arg] = &[
    DOCKER_HOST,
    TLS_HOSTNAME,
    API_VERSION,
    TIMEOUT,
    CA_PATH,
    CLIENT_CERT,
    CLIENT_KEY,
    TLS,
    USE_SSH_CLIENT,
    VALIDATE_CERTS,
    DEBUG,
    arg("source", Kind::Str).choices(&["build", "load", "pull", "local"]),
    arg("build", Kind::Dict).options(BUILD),
    arg("archive_path", Kind::Path),
    arg("force_source", Kind::Bool).default(Preset::Bool(false)),
    arg("force_absent", Kind::Bool).default(Preset::Bool(false)),
    arg("force_tag", Kind::Bool).default(Preset::Bool(false)),
    arg("load_path", Kind::Path),
    arg("name", Kind::Str).required(),
    arg("pull", Kind::Dict).options(PULL),
    arg("push", Kind::Bool).default(Preset::Bool(false)),
    arg("repository", Kind::Str),
    arg("state", Kind::Str).choices(&["absent", "present"]).default(Preset::Str("present")),
    arg("tag", Kind::Str).default(Preset::Str("latest")),
];

pub(crate) const DOCKER_NETWORK_ARGS: &[Arg] = &[
    DOCKER_HOST,
    TLS_HOSTNAME,
    API_VERSION,
    TIMEOUT,
    CA_PATH,
    CLIENT_CERT,
    CLIENT_KEY,
    TLS,
    USE_SSH_CLIENT,
    VALIDATE_CERTS,
    DEBUG,
    arg("name", Kind::Str).required().aka(&["network_name"]),
    arg("config_from", Kind::Str),
    arg("config_only", Kind::Bool),
    arg("connected", Kind::List).aka(&["containers"]).default(Preset::List(&[])),
    arg("state", Kind::Str).choices(&["present", "absent"]).default(Preset::Str("present")),
    arg("driver", Kind::Str).default(Preset::Str("bridge")),
    arg("driver_options", Kind::Dict).default(Preset::Dict),
    arg("force", Kind::Bool).default(Preset::Bool(false)),
    arg("appends", Kind::Bool).aka(&["incremental"]).default(Preset::Bool(false)),
    arg("ipam_driver", Kind::Str),
    arg("ipam_driver_options", Kind::Dict),
    arg("ipam_config", Kind::List).of(Kind::Dict).options(ADDRESS_POOL),
    arg("enable_ipv4", Kind::Bool),
    arg("enable_ipv6", Kind::Bool),
    arg("internal", Kind::Bool),
    arg("labels", Kind::Dict).default(Preset::Dict),
    arg("scope", Kind::Str).choices(&["local", "global", "swarm"]),
    arg("attachable", Kind::Bool),
    arg("ingress", Kind::Bool),
];
