//! Errors of the libraries as Python's exceptions.

use himacl::align::AlignError;
use himacl::hub::HubError;
use himacl::map::FitError;
use hiref_core::{Error as SolverError, ErrorKind};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use std::any::Any;

/// Why a call failed, before it is an exception.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The work was asked to stop before there was a result.
    Interrupted,
    /// What was given cannot be used.
    Input(String),
    /// A file or folder cannot be read or written.
    File(String),
    /// A fault of the machine or of ours.
    Other(String),
}

impl Failure {
    /// The exception of `himacl._errors` that stands for it.
    pub(crate) fn raise(self, py: Python<'_>) -> PyErr {
        let (class, text) = match self {
            Self::Interrupted => return PyKeyboardInterrupt::new_err("interrupted before a first result existed"),
            Self::Input(text) => ("InputError", text),
            Self::File(text) => ("FileError", text),
            Self::Other(text) => ("Error", text),
        };
        let raised = py
            .import("himacl._errors")
            .and_then(|module| module.getattr(class))
            .map(|class| PyErr::from_type(class.cast_into().expect("an exception is a type"), text));
        raised.unwrap_or_else(|error| error)
    }
}

/// The message of an error with those that caused it, as the command line prints them.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

impl From<SolverError> for Failure {
    fn from(error: SolverError) -> Self {
        let text = with_causes(&error);
        match error.kind() {
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Device => Self::Other(text),
            _ => Self::Input(text),
        }
    }
}

impl From<AlignError> for Failure {
    fn from(error: AlignError) -> Self {
        let text = with_causes(&error);
        match error {
            AlignError::Interrupted => Self::Interrupted,
            AlignError::Solver(inner) => inner.into(),
            AlignError::Tensor(_) => Self::Other(text),
            _ => Self::Input(text),
        }
    }
}

impl From<FitError> for Failure {
    fn from(error: FitError) -> Self {
        match error {
            FitError::Interrupted => Self::Interrupted,
            error => Self::Input(with_causes(&error)),
        }
    }
}

impl From<himacl::Error> for Failure {
    fn from(error: himacl::Error) -> Self {
        let text = with_causes(&error);
        match error {
            himacl::Error::Solver(inner) => inner.into(),
            himacl::Error::Align(inner) => inner.into(),
            himacl::Error::Data(inner) => inner.into(),
            himacl::Error::Encode(inner) => (*inner).into(),
            himacl::Error::Tensor(_) => Self::Other(text),
            _ => Self::Input(text),
        }
    }
}

impl From<himacl::data::Error> for Failure {
    fn from(error: himacl::data::Error) -> Self {
        let text = with_causes(&error);
        match error {
            himacl::data::Error::Io { .. } => Self::File(text),
            _ => Self::Input(text),
        }
    }
}

impl From<himacl::EncodeError> for Failure {
    fn from(error: himacl::EncodeError) -> Self {
        let text = with_causes(&error);
        match error {
            himacl::EncodeError::Data(inner) => inner.into(),
            himacl::EncodeError::Hub(HubError::Interrupted) => Self::Interrupted,
            himacl::EncodeError::Hub(_) => Self::File(text),
            _ => Self::Input(text),
        }
    }
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        Self::Input(with_causes(&error))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        // The place is one in a text that nobody wrote.
        let text = error.to_string();
        Self::Input(text.split(" at line ").next().unwrap_or_default().to_owned())
    }
}

/// A panic of the work: a fault of ours, which must not end the interpreter.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    PyRuntimeError::new_err(format!("himacl failed inside (please report this): {}", said.unwrap_or("unknown")))
}
