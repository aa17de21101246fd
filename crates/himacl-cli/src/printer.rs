//! The one way to print: messages and progress on stderr, results on stdout.

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::error::Error as StdError;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing_subscriber::filter::LevelFilter;

/// At most this often does a task write a line of JSON progress.
const JSON_INTERVAL: Duration = Duration::from_millis(500);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressMode {
    /// Bars where stderr is a terminal, nothing elsewhere.
    #[default]
    Auto,
    /// Bars.
    Bar,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
}

/// The least severe log messages shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    #[default]
    Warn,
    Info,
    Debug,
    Trace,
}

/// Prints everything that a command has to say; cheap to clone.
#[derive(Debug, Clone)]
pub struct Printer {
    bars: MultiProgress,
    json: bool,
    quiet: bool,
}

impl Printer {
    /// A printer for this process.
    pub fn new(progress: ProgressMode, quiet: bool) -> Self {
        let show_bars = match progress {
            ProgressMode::Auto => !quiet && io::stderr().is_terminal(),
            ProgressMode::Bar => true,
            ProgressMode::Json | ProgressMode::None => false,
        };
        let target = if show_bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), json: progress == ProgressMode::Json, quiet }
    }

    /// Sends the log messages of this process and its libraries to stderr, between the bars.
    pub(crate) fn install_log(&self, level: LogLevel) {
        let filter = match level {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        let printer = self.clone();
        let writer = move || LogWriter(printer.clone());
        let subscriber = tracing_subscriber::fmt().with_max_level(filter).with_writer(writer);
        // Only a second call in one process can fail, and the first subscriber is as good.
        let _ = subscriber.with_ansi(io::stderr().is_terminal()).try_init();
    }

    /// Tells what is being done; not with `--quiet`.
    pub fn info(&self, message: &str) {
        if !self.quiet {
            self.to_stderr(message);
        }
    }

    /// Tells what the user should know but may live with.
    pub fn warn(&self, message: &str) {
        self.to_stderr(&format!("warning: {message}"));
    }

    /// Tells why the command failed, with the causes that the message itself does not name.
    pub fn error(&self, error: &dyn StdError) {
        let mut text = format!("error: {error}");
        let mut cause = error.source();
        while let Some(source) = cause {
            let reason = source.to_string();
            if !text.contains(&reason) {
                text.push_str("\ncaused by: ");
                text.push_str(&reason);
            }
            cause = source.source();
        }
        self.to_stderr(&text);
    }

    /// Writes the result of a command to stdout.
    pub fn result(&self, text: &str) {
        // A reader that went away (`himacl ... | head`) is no reason to fail: the files are written.
        self.bars.suspend(|| drop(writeln!(io::stdout(), "{text}")));
    }

    /// Starts showing the progress of `total` units of work, called `name`; ends when the task is dropped. Nothing is
    /// said of an end where `total` is 0: it is not known.
    ///
    /// # Panics
    /// Never: the bar's template is a constant.
    pub fn task(&self, name: &str, unit: &str, total: u64) -> ProgressTask {
        let template = match (unit, total) {
            (_, 0) => "{prefix:>10} {human_pos} {unit} {per_sec} {elapsed} {msg}",
            ("bytes", _) => "{prefix:>10} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}",
            _ => "{prefix:>10} [{bar:32}] {human_pos}/{human_len} {unit} {per_sec} {eta} left {msg}",
        };
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant")
            .progress_chars("=> ")
            .with_key("unit", Text(unit.to_owned()));
        let bar = self.bars.add(ProgressBar::new(total).with_style(style).with_prefix(name.to_owned()));
        let json = self.json.then(|| JsonTask {
            printer: self.clone(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(total),
            started: Instant::now(),
            last: Mutex::new(Instant::now()),
        });
        let task = ProgressTask { bar, json: json.map(Arc::new) };
        task.report("started");
        task
    }

    /// One JSON object on a line of stderr, with `--progress json` only: figures that a program may follow.
    pub fn json(&self, value: &impl Serialize) {
        if self.json
            && let Ok(line) = serde_json::to_string(value)
        {
            self.to_stderr(&line);
        }
    }

    fn to_stderr(&self, text: &str) {
        self.bars.suspend(|| drop(writeln!(io::stderr(), "{}", visible(text))));
    }
}

/// The progress of one piece of work; may be advanced from several threads.
#[derive(Debug)]
pub struct ProgressTask {
    bar: ProgressBar,
    json: Option<Arc<JsonTask>>,
}

impl ProgressTask {
    /// Notes that `work` more units are done.
    pub fn advance(&self, work: u64) {
        self.bar.inc(work);
        if let Some(json) = &self.json {
            json.done.fetch_add(work, Ordering::Relaxed);
            json.report_now_and_then();
        }
    }

    /// Corrects what is done already.
    pub fn set_done(&self, done: u64) {
        self.bar.set_position(done);
        if let Some(json) = &self.json {
            json.done.store(done, Ordering::Relaxed);
        }
    }

    /// Corrects the amount of work.
    pub fn set_total(&self, total: u64) {
        self.bar.set_length(total);
        if let Some(json) = &self.json {
            json.total.store(total, Ordering::Relaxed);
        }
    }

    /// Adds `work` units to what is to be done.
    pub fn extend(&self, work: u64) {
        self.bar.inc_length(work);
        if let Some(json) = &self.json {
            json.total.fetch_add(work, Ordering::Relaxed);
        }
    }

    /// Shows a short remark beside the bar, a loss for example.
    pub fn remark(&self, remark: &str) {
        self.bar.set_message(remark.to_owned());
    }

    fn report(&self, event: &'static str) {
        if let Some(json) = &self.json {
            json.report(event);
        }
    }
}

impl Drop for ProgressTask {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.report("finished");
    }
}

/// What a task needs to report itself as JSON.
#[derive(Debug)]
struct JsonTask {
    printer: Printer,
    name: String,
    unit: String,
    done: AtomicU64,
    total: AtomicU64,
    started: Instant,
    last: Mutex<Instant>,
}

/// One line of `--progress json`.
#[derive(Debug, Serialize)]
struct JsonProgress<'a> {
    event: &'static str,
    task: &'a str,
    unit: &'a str,
    done: u64,
    /// Null where it is not known.
    total: Option<u64>,
    seconds: f64,
    per_second: f64,
    eta_seconds: Option<f64>,
}

impl JsonTask {
    fn report_now_and_then(&self) {
        // Another thread that is reporting right now makes this report needless.
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() >= JSON_INTERVAL {
            *last = Instant::now();
            self.report("advanced");
        }
    }

    fn report(&self, event: &'static str) {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let seconds = self.started.elapsed().as_secs_f64();
        let per_second = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        let total = (total > 0).then_some(total);
        let left = total.filter(|_| per_second > 0.0).map(|total| total.saturating_sub(done));
        let eta_seconds = left.map(|left| left as f64 / per_second);
        let (task, unit) = (self.name.as_str(), self.unit.as_str());
        self.printer.json(&JsonProgress { event, task, unit, done, total, seconds, per_second, eta_seconds });
    }
}

/// A constant text inside a bar's template.
#[derive(Clone)]
struct Text(String);

impl indicatif::style::ProgressTracker for Text {
    fn clone_box(&self) -> Box<dyn indicatif::style::ProgressTracker> {
        Box::new(self.clone())
    }

    fn tick(&mut self, _state: &indicatif::ProgressState, _now: Instant) {}

    fn reset(&mut self, _state: &indicatif::ProgressState, _now: Instant) {}

    fn write(&self, _state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write) {
        let _ = out.write_str(&self.0);
    }
}

/// Hands log lines to the printer.
struct LogWriter(Printer);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bars.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A text whose control characters, which names of files and answers of servers may have, do nothing to a terminal.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(visible("a\u{1b}[31m\nb\u{9b}1\tç"), "a\\u{1b}[31m\nb\\u{9b}1\\tç");
    }

    #[test]
    fn tasks_count_from_several_threads() {
        let printer = Printer::new(ProgressMode::None, true);
        let task = printer.task("split", "points", 40);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| task.advance(10));
            }
        });
        assert_eq!(task.bar.position(), 40);
        task.set_total(80);
        task.extend(20);
        assert_eq!(task.bar.length(), Some(100));
    }
}
