//! What the settings of the default callback say.

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As JSON.
    #[default]
    Json,
    /// As YAML (`callback_result_format`).
    Yaml,
    /// As `community.general.yaml` writes them: YAML, and what changed in front of it.
    Blocks,
    /// As `ansible.posix.debug` writes them: JSON, and what was said as it was said.
    Debug,
}

/// Settings of Ansible's default callback.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// Hosts on which nothing changed (`display_ok_hosts`).
    pub ok_hosts: bool,
    /// Hosts that skip a task (`display_skipped_hosts`).
    pub skipped_hosts: bool,
    /// Failures go to standard error (`display_failed_stderr`).
    pub failed_stderr: bool,
    /// What `set_stats` left (`show_custom_stats`).
    pub custom_stats: bool,
    /// Plays and tasks that change nothing say so (`check_mode_markers`).
    pub check_markers: bool,
    /// Where a task stands that failed (`show_task_path_on_failure`).
    pub path_on_failure: bool,
    /// Each host that begins a task (`show_per_host_start`).
    pub host_starts: bool,
    /// Lines around a change (`[diff] context`).
    pub diff_context: usize,
    /// How results are written.
    pub style: Style,
    /// Results are over several lines, or on one, whatever they are of (`callback_format_pretty`).
    pub pretty: Option<bool>,
    /// What only those want to know who look for a fault (`debug`).
    pub details: bool,
}

impl Default for Show {
    fn default() -> Self {
        Self {
            ok_hosts: true,
            skipped_hosts: true,
            failed_stderr: false,
            custom_stats: false,
            check_markers: false,
            path_on_failure: false,
            host_starts: false,
            diff_context: 3,
            style: Style::Json,
            pretty: None,
            details: false,
        }
    }
}
