//! A program of the user's as the model of the pipeline: any model at all, at the other end of two pipes.
//!
//! The program's side of it is described in docs/embedding.md. In short: it greets with a line of JSON, and for each
//! batch that comes on its standard input it writes a line with a shape and f32 values, little-endian, row by row.

use super::child::{Request, Running};
use super::greeting::Greeting;
use super::model::EmbedModel;
use crate::error::Error;
use image::DynamicImage;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A running program that embeds pictures, texts or both.
pub struct Program {
    greeting: Greeting,
    running: Mutex<Running>,
}

impl Program {
    /// Starts a program, words as a POSIX shell splits them but without a shell, and waits for its greeting.
    ///
    /// Greeting and answers may each take `limit`; `should_stop` is asked while one is waited for. The program ends with
    /// this value, or when it is to stop.
    ///
    /// # Errors
    /// [`EmbedError::Program`](crate::error::EmbedError::Program): it cannot be started, ends, says nothing, or something else. [`EmbedError::Interrupted`](crate::error::EmbedError::Interrupted).
    pub fn start(
        command: &str,
        limit: Duration,
        should_stop: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, Error> {
        let mut running = Running::start(command, limit, Box::new(should_stop))?;
        let greeting = running.greeting()?;
        Ok(Self { greeting, running: Mutex::new(running) })
    }

    /// What the program says of itself.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    fn ask(&self, pieces: Vec<Arc<[u8]>>, rows: usize, dimension: Option<usize>) -> Result<Vec<f32>, Error> {
        let shape = [rows, dimension.unwrap_or_default()];
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(running.ask(Request { pieces, shape })?)
    }
}

fn line(value: &serde_json::Value) -> Arc<[u8]> {
    Arc::from(format!("{value}\n").into_bytes())
}

impl EmbedModel for Program {
    /// A picture's file as it is.
    type Pixels = Arc<[u8]>;
    type Tokens = String;

    fn image_dimension(&self) -> Option<usize> {
        self.greeting.image_dimension
    }

    fn text_dimension(&self) -> Option<usize> {
        self.greeting.text_dimension
    }

    fn preprocess(&self, file: &[u8], _: &DynamicImage) -> Result<Arc<[u8]>, Error> {
        Ok(Arc::from(file))
    }

    fn tokenize(&self, text: &str) -> Result<String, Error> {
        Ok(text.to_owned())
    }

    fn num_tokens(&self, tokens: &String) -> usize {
        tokens.len()
    }

    fn encode_images(&self, batch: &[Arc<[u8]>]) -> Result<Vec<f32>, Error> {
        let lengths: Vec<usize> = batch.iter().map(|file| file.len()).collect();
        let mut pieces = vec![line(&serde_json::json!({ "images": lengths }))];
        pieces.extend(batch.iter().cloned());
        self.ask(pieces, batch.len(), self.greeting.image_dimension)
    }

    fn encode_texts(&self, batch: &[String]) -> Result<Vec<f32>, Error> {
        let pieces = vec![line(&serde_json::json!({ "texts": batch }))];
        self.ask(pieces, batch.len(), self.greeting.text_dimension)
    }
}
