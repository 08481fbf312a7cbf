//! Runs and their records.

use super::stored::{self, StepEvent, StepRecord};
use super::{Journal, JournalError, shorten};
use crate::{StepId, Work};
use rusqlite::{OptionalExtension as _, Row, Transaction};
use updraft_base::{RunId, Timestamp};

/// How many of the newest runs keep their work and records. Older ones keep their one line.
pub const KEPT_RUNS: u32 = 200;

/// Who begins a run, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStart {
    /// The run's identity, drawn by the caller.
    pub id: RunId,
    /// Command, as a person would type it; no secrets.
    pub command: String,
    /// Login name of who gave it.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Every step ended well.
    Done,
    /// Steps failed.
    Failed,
    /// It was stopped in order; it can be taken up again.
    Stopped,
    /// It was left and will not be taken up again.
    Abandoned,
}

impl RunEnd {
    /// The word for it in the journal and in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Abandoned => "abandoned",
        }
    }

    fn parse(word: &str) -> Result<Self, JournalError> {
        [Self::Done, Self::Failed, Self::Stopped, Self::Abandoned]
            .into_iter()
            .find(|end| end.word() == word)
            .ok_or_else(|| JournalError::Nonsense { what: "an outcome", found: shorten(word) })
    }
}

/// One run, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// Identity.
    pub id: RunId,
    /// What it was about.
    pub title: String,
    /// Command that began it.
    pub command: String,
    /// Login name of who gave it.
    pub who: String,
    /// When it began.
    pub started: Timestamp,
    /// When it last ended; `None` while it runs, or when it was killed.
    pub ended: Option<Timestamp>,
    /// How it ended; `None` as for `ended`.
    pub outcome: Option<RunEnd>,
    /// Why it was abandoned.
    pub why: Option<String>,
}

/// A run that was killed or stopped before it was through.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    /// The run.
    pub run: RunSummary,
    /// Everything it had to do.
    pub work: Work,
    /// What is known of its steps.
    pub records: Vec<StepRecord>,
}

impl Journal {
    /// Writes down a new run with all its work, before anything of it is done. Forgets the details
    /// of runs beyond the newest [`KEPT_RUNS`].
    ///
    /// # Errors
    /// [`JournalError::Unfinished`] when the run before it was neither brought to an end nor
    /// abandoned; when the journal cannot be written.
    pub fn begin_run(&self, start: &RunStart, work: &Work) -> Result<(), JournalError> {
        const WHAT: &str = "a new run";
        let text = stored::render_work(work);
        let fault = |source| JournalError::Write { what: WHAT, source };
        self.write(WHAT, |transaction| {
            if let Some(left) = newest_unfinished(transaction)? {
                return Err(JournalError::Unfinished(left));
            }
            transaction
                .execute(
                    "INSERT INTO runs (id, title, command, who, started, work)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    (
                        start.id.to_string(),
                        &work.title,
                        &start.command,
                        &start.who,
                        start.at.to_string(),
                        text,
                    ),
                )
                .map_err(fault)?;
            let oldest_kept: Option<i64> = transaction
                .query_row(
                    "SELECT number FROM runs ORDER BY number DESC LIMIT 1 OFFSET ?1",
                    [KEPT_RUNS - 1],
                    |row| row.get(0),
                )
                .optional()
                .map_err(fault)?;
            if let Some(oldest_kept) = oldest_kept {
                transaction
                    .execute("DELETE FROM records WHERE run < ?1", [oldest_kept])
                    .and_then(|_| {
                        transaction.execute(
                            "UPDATE runs SET work = NULL WHERE number < ?1 AND work IS NOT NULL",
                            [oldest_kept],
                        )
                    })
                    .map_err(fault)?;
            }
            Ok((1, ()))
        })
    }

    /// The newest run if it was killed or stopped before it was through. While a run goes on
    /// elsewhere it looks the same, so the caller holds the lock of the site.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn unfinished_run(&self) -> Result<Option<Unfinished>, JournalError> {
        self.read("the unfinished run", |transaction| {
            let Some(id) = newest_unfinished(transaction)? else { return Ok(None) };
            let (number, run, work) = require(transaction, id)?;
            let work = work.ok_or_else(|| JournalError::Nonsense {
                what: "an unfinished run",
                found: "it has no work".to_owned(),
            })?;
            let work = stored::parse_work(&work)?;
            Ok(Some(Unfinished { run, work, records: records(transaction, number)? }))
        })
    }

    /// Gives a run up: it will not be taken up again.
    ///
    /// # Errors
    /// When there is no such run, it is over already, or the journal cannot be written.
    pub fn abandon(&self, run: RunId, why: &str, at: Timestamp) -> Result<(), JournalError> {
        self.write("the end of a run", |transaction| {
            let (_, summary, _) = require(transaction, run)?;
            match summary.outcome {
                None | Some(RunEnd::Stopped | RunEnd::Failed) => {
                    set_end(transaction, run, Some((RunEnd::Abandoned, at)), Some(why))?;
                    Ok((1, ()))
                }
                Some(RunEnd::Done | RunEnd::Abandoned) => Err(JournalError::Over(run)),
            }
        })
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunSummary>, JournalError> {
        let fault = |source| JournalError::Read { what: "runs", source };
        self.read("runs", |transaction| {
            let mut query = transaction
                .prepare(
                    "SELECT number, id, title, command, who, started, ended, outcome, why, NULL
                     FROM runs ORDER BY number DESC LIMIT ?1",
                )
                .map_err(fault)?;
            let mut rows = query.query([limit]).map_err(fault)?;
            let mut runs = Vec::new();
            while let Some(row) = rows.next().map_err(fault)? {
                runs.push(summary(row)?.1);
            }
            Ok(runs)
        })
    }

    /// One run.
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn run_summary(&self, run: RunId) -> Result<RunSummary, JournalError> {
        self.read("a run", |transaction| require(transaction, run).map(|(_, summary, _)| summary))
    }

    /// Everything a run had to do; `None` when it is too old to be kept.
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn run_work(&self, run: RunId) -> Result<Option<Work>, JournalError> {
        self.read("the work of a run", |transaction| {
            let (_, _, work) = require(transaction, run)?;
            work.as_deref().map(stored::parse_work).transpose()
        })
    }

    /// What is known of a run's steps, oldest first; empty when it is too old to be kept.
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn run_records(&self, run: RunId) -> Result<Vec<StepRecord>, JournalError> {
        self.read("the records of a run", |transaction| {
            let (number, _, _) = require(transaction, run)?;
            records(transaction, number)
        })
    }

    /// Takes a run up, whether it was just begun, killed, stopped or has failed. Refuses one that
    /// is over, or whose work is not `work`. Returns what is known of its steps.
    pub(crate) fn take_up(&self, run: RunId, work: &Work) -> Result<TakenUp, JournalError> {
        self.write("the start of a run", |transaction| {
            let (number, summary, text) = require(transaction, run)?;
            if let Some(RunEnd::Done | RunEnd::Abandoned) = summary.outcome {
                return Err(JournalError::Over(run));
            }
            if text.as_deref() != Some(stored::render_work(work).as_str()) {
                return Ok((0, TakenUp::OtherWork));
            }
            let records = records(transaction, number)?;
            // The line that it runs again is written only when it said that it had ended.
            let lines = match summary.outcome {
                None => 0,
                Some(_) => {
                    set_end(transaction, run, None, None)?;
                    1
                }
            };
            Ok((lines, TakenUp::Records(records)))
        })
    }

    /// Appends lines to a run's record, all or none, on disk when this returns.
    pub(crate) fn record(
        &self,
        run: RunId,
        at: Timestamp,
        lines: &[(StepId, StepEvent)],
    ) -> Result<(), JournalError> {
        const WHAT: &str = "records of steps";
        let fault = |source| JournalError::Write { what: WHAT, source };
        let at = at.to_string();
        self.write(WHAT, |transaction| {
            let (number, last): (i64, i64) = transaction
                .prepare_cached(
                    "SELECT number, coalesce((SELECT max(seq) FROM records WHERE run = number), 0)
                     FROM runs WHERE id = ?1",
                )
                .and_then(|mut query| {
                    query.query_row([run.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
                })
                .optional()
                .map_err(fault)?
                .ok_or(JournalError::NoSuchRun(run))?;
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO records (run, seq, step, event, at, detail)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )
                .map_err(fault)?;
            for (seq, (step, event)) in (last + 1..).zip(lines) {
                let (word, detail) = stored::render_event(event);
                insert.execute((number, seq, step.0, word, &at, detail)).map_err(fault)?;
            }
            Ok((lines.len() as u64, ()))
        })
    }

    /// Writes down how a run ended.
    pub(crate) fn end_run(
        &self,
        run: RunId,
        end: RunEnd,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        self.write("the end of a run", |transaction| {
            set_end(transaction, run, Some((end, at)), None)?;
            Ok((1, ()))
        })
    }
}

/// What [`Journal::take_up`] found.
#[derive(Debug)]
pub(crate) enum TakenUp {
    /// The records of the run so far.
    Records(Vec<StepRecord>),
    /// The run was begun for other work.
    OtherWork,
}

fn newest_unfinished(transaction: &Transaction<'_>) -> Result<Option<RunId>, JournalError> {
    let fault = |source| JournalError::Read { what: "the unfinished run", source };
    let newest: Option<(String, Option<String>)> = transaction
        .query_row("SELECT id, outcome FROM runs ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(fault)?;
    let Some((id, outcome)) = newest else { return Ok(None) };
    match outcome.as_deref().map(RunEnd::parse).transpose()? {
        None | Some(RunEnd::Stopped) => parse_id(&id).map(Some),
        Some(RunEnd::Done | RunEnd::Failed | RunEnd::Abandoned) => Ok(None),
    }
}

fn set_end(
    transaction: &Transaction<'_>,
    run: RunId,
    end: Option<(RunEnd, Timestamp)>,
    why: Option<&str>,
) -> Result<(), JournalError> {
    let changed = transaction
        .execute(
            "UPDATE runs SET outcome = ?2, ended = ?3, why = ?4 WHERE id = ?1",
            (
                run.to_string(),
                end.map(|(end, _)| end.word()),
                end.map(|(_, at)| at.to_string()),
                why,
            ),
        )
        .map_err(|source| JournalError::Write { what: "the end of a run", source })?;
    if changed == 0 { Err(JournalError::NoSuchRun(run)) } else { Ok(()) }
}

/// A run's number, summary and work.
fn require(
    transaction: &Transaction<'_>,
    run: RunId,
) -> Result<(i64, RunSummary, Option<String>), JournalError> {
    let fault = |source| JournalError::Read { what: "a run", source };
    let mut query = transaction
        .prepare_cached(
            "SELECT number, id, title, command, who, started, ended, outcome, why, work
             FROM runs WHERE id = ?1",
        )
        .map_err(fault)?;
    let mut rows = query.query([run.to_string()]).map_err(fault)?;
    let row = rows.next().map_err(fault)?.ok_or(JournalError::NoSuchRun(run))?;
    summary(row)
}

fn summary(row: &Row<'_>) -> Result<(i64, RunSummary, Option<String>), JournalError> {
    let fault = |source| JournalError::Read { what: "a run", source };
    let text = |column| row.get::<_, String>(column).map_err(fault);
    let maybe = |column| row.get::<_, Option<String>>(column).map_err(fault);
    let summary = RunSummary {
        id: parse_id(&text(1)?)?,
        title: text(2)?,
        command: text(3)?,
        who: text(4)?,
        started: parse_time(&text(5)?)?,
        ended: maybe(6)?.as_deref().map(parse_time).transpose()?,
        outcome: maybe(7)?.as_deref().map(RunEnd::parse).transpose()?,
        why: maybe(8)?,
    };
    Ok((row.get(0).map_err(fault)?, summary, maybe(9)?))
}

fn records(transaction: &Transaction<'_>, number: i64) -> Result<Vec<StepRecord>, JournalError> {
    let fault = |source| JournalError::Read { what: "the records of a run", source };
    let mut query = transaction
        .prepare_cached(
            "SELECT seq, step, at, event, detail FROM records WHERE run = ?1 ORDER BY seq",
        )
        .map_err(fault)?;
    let mut rows = query.query([number]).map_err(fault)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        let word: String = row.get(3).map_err(fault)?;
        records.push(StepRecord {
            seq: row.get::<_, i64>(0).map_err(fault)?.unsigned_abs(),
            step: StepId(row.get(1).map_err(fault)?),
            at: parse_time(&row.get::<_, String>(2).map_err(fault)?)?,
            event: stored::parse_event(&word, row.get(4).map_err(fault)?)?,
        });
    }
    Ok(records)
}

fn parse_id(text: &str) -> Result<RunId, JournalError> {
    text.parse()
        .map_err(|_| JournalError::Nonsense { what: "the id of a run", found: shorten(text) })
}

fn parse_time(text: &str) -> Result<Timestamp, JournalError> {
    text.parse().map_err(|_| JournalError::Nonsense { what: "a time", found: shorten(text) })
}
