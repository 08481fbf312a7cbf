#!/usr/bin/env bash
# Kills our program with SIGKILL while it makes a template and while it starts a machine live from
# it: at every line of the journal, and at moments in between. The same command again always comes
# to one machine that is itself, and nothing half-made is left.
#
#   lab/live.sh
#
# Needs root and the release build. The template is made in the store that all sites share, and
# stays there.
set -euo pipefail
# shellcheck source=lab/one-guest.sh
. "$(dirname "$0")/one-guest.sh"

# Process ids of guests whose command line names this.
guests_of() {
  local process
  for process in /proc/[0-9]*; do
    if grep -qsaz -- "$1" "$process/cmdline" && grep -qsa 'guest=' "$process/cmdline"; then echo "${process#/proc/}"; fi
  done
}

# The same command again comes to one machine that is itself; then everything goes.
is_whole_again() {
  must up --yes
  same "$(guests_of "$site/" | wc -l)" 1 "guests $1"
  must plan
  says "$scratch/out" '^Nothing to do'
  must exec web-1 -- hostname
  says "$scratch/out" 'web-1$'
  must destroy --yes
  same "$(guests_of "$site/" | wc -l)" 0 "guests after everything was destroyed, $1"
  [ ! -e "$site/.updraft/guests" ] || fail "guests are left $1: $(ls "$site/.updraft/guests")"
}

write_site live
must image build debian
claim "killed while the template is made, the same command makes it, and nothing of the first try is left"
killed_after 6 up --yes
is_whole_again "after the template was made"
store=${UPDRAFT_STORE:-/var/lib/updraft}
same "$(ls "$store/templates/tmp")" "" "templates that are half made"
same "$(guests_of "$store/templates/tmp" | wc -l)" 0 "guests that were to become a template"

claim "killed at any line of the journal, the same command comes to one machine that is itself"
for line in $(seq 1 40); do
  code=0
  { UPDRAFT_CRASH_AT=$line "$updraft" -C "$site" up --yes >"$scratch/out" 2>"$scratch/err" </dev/null; } 2>/dev/null || code=$?
  is_whole_again "after a kill at line $line"
  [ "$code" = 137 ] || break
done
[ "$code" = 0 ] || fail "up ended with $code, or has more lines than were tried: $(tail -n 20 "$scratch/err")"
[ "$line" -gt 8 ] || fail "up has only $line lines"

claim "killed between the lines, too"
for seconds in 0.1 0.2 0.3 0.5 0.8; do
  killed_after $seconds up --yes
  is_whole_again "after a kill at $seconds s"
done

# What makes it the machine that it is, and the boot it is in.
itself() { inside web-1 'cat /etc/machine-id /etc/ssh/ssh_host_*_key.pub'; }
this_boot() { inside web-1 'cat /proc/sys/kernel/random/boot_id'; }
has_started_anew() (
  # In a shell of its own: while it starts nobody answers, which is no failure.
  now=$(this_boot) && [ "$now" != "$1" ]
)

claim "a machine that started live restarts when it is told to from within, and is the same"
must up --yes
before=$(itself)
boot=$(this_boot)
# It may be gone before it answers.
ud exec web-1 -- systemctl reboot || true
until_true "the machine after its restart" 120 has_started_anew "$boot"
until_true "sshd after the restart" 60 answers_ssh web-1
same "$(itself)" "$before" "what makes it itself"
must plan
says "$scratch/out" '^Nothing to do'
end_claim
