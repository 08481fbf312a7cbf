//! Making failures that say what was tried.

use std::fmt::Display;
use updraft_wire::{Failure, FailureKind, Response};

/// The operating system said no to what `act` describes.
pub(crate) fn system(act: impl Display, cause: impl Display) -> Failure {
    Failure { kind: FailureKind::System, message: format!("{act}: {cause}") }
}

/// The request makes no sense.
pub(crate) fn refused(message: impl Display) -> Failure {
    Failure { kind: FailureKind::Refused, message: message.to_string() }
}

/// Becoming another user did not work.
pub(crate) fn becoming(message: impl Display) -> Failure {
    Failure { kind: FailureKind::Become, message: message.to_string() }
}

/// The answer for an outcome.
pub(crate) fn answer(outcome: Result<Response, Failure>) -> Response {
    outcome.unwrap_or_else(Response::Failed)
}
