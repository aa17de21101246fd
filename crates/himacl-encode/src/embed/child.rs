//! A child process that is asked and answers, and what becomes of it when it does not.

use super::greeting::{Greeting, shortened};
use crate::error::EmbedError;
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a caller that waits is asked whether it wants to stop.
const INTERVAL: Duration = Duration::from_millis(20);
/// How long a program may take to end when nothing more is wanted of it, and when it is told to.
const LEAVE: Duration = Duration::from_secs(5);
const TERMINATE: Duration = Duration::from_secs(2);
/// Lines of its standard error that are kept.
const LAST_LINES: usize = 12;
/// Bytes of a line that are read at most.
const LINE_BYTES: u64 = 1 << 20;

/// A batch on its way to the program.
pub(super) struct Request {
    /// Lines and files, to be written one behind the other.
    pub(super) pieces: Vec<Arc<[u8]>>,
    /// The shape that the answer must have.
    pub(super) shape: [usize; 2],
}

/// Why there is no answer.
pub(super) enum Trouble {
    /// The program has ended, or closed its output.
    Ended(String),
    /// It says something else than was expected, in words that follow its name.
    Said(String),
}

/// What the program has to say.
enum Answer {
    Greeting(Greeting),
    Rows(Vec<f32>),
}

/// A program with a thread that speaks with it: whoever waits can give up.
pub(super) struct Running {
    command: String,
    child: Child,
    requests: Option<Sender<Request>>,
    answers: Receiver<Result<Answer, Trouble>>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected once the program's standard error is closed.
    silent: Receiver<()>,
    limit: Duration,
    should_stop: Box<dyn Fn() -> bool + Send>,
}

impl Running {
    pub(super) fn start(
        command: &str,
        limit: Duration,
        should_stop: Box<dyn Fn() -> bool + Send>,
    ) -> Result<Self, EmbedError> {
        let failed = |problem: String| EmbedError::Program {
            program: command.to_owned(),
            problem,
            status: None,
            last_words: Vec::new(),
        };
        let words = split(command).map_err(|why| failed(format!("cannot be read: {why}")))?;
        let [program, arguments @ ..] = &words[..] else { return Err(failed("is empty".to_owned())) };
        let mut process = Command::new(program);
        process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal goes to this program alone, which ends the other when its own work is kept.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut process, 0);
        let mut child = process.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("has no pipes".to_owned()));
        };
        let (requests, asked) = channel();
        let (answers_in, answers) = channel();
        std::thread::spawn(move || converse(stdin, stdout, &asked, &answers_in));
        let last_words: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let (alive, silent) = channel();
        let kept = Arc::clone(&last_words);
        std::thread::spawn(move || listen(stderr, &kept, alive));
        let requests = Some(requests);
        Ok(Self { command: command.to_owned(), child, requests, answers, last_words, silent, limit, should_stop })
    }

    pub(super) fn greeting(&mut self) -> Result<Greeting, EmbedError> {
        match self.answer("greeted")? {
            Answer::Greeting(greeting) => Ok(greeting),
            Answer::Rows(_) => unreachable!("the greeting comes first"),
        }
    }

    pub(super) fn ask(&mut self, request: Request) -> Result<Vec<f32>, EmbedError> {
        // Where the thread has gone its last answer says why.
        let _ = self.requests.as_ref().map(|requests| requests.send(request));
        match self.answer("answered")? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Greeting(_) => unreachable!("the greeting comes but once"),
        }
    }

    fn answer(&mut self, verb: &str) -> Result<Answer, EmbedError> {
        let begun = Instant::now();
        loop {
            if (self.should_stop)() {
                self.end(Duration::ZERO);
                return Err(EmbedError::Interrupted);
            }
            match self.answers.recv_timeout(INTERVAL) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(trouble)) => return Err(self.failure(trouble)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.failure(Trouble::Ended("has ended".to_owned())));
                }
                Err(RecvTimeoutError::Timeout) if begun.elapsed() >= self.limit => {
                    let seconds = self.limit.as_secs();
                    return Err(self.failure(Trouble::Said(format!("has not {verb} within {seconds} s"))));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The error, with how the program ended and what it said last; it runs no longer.
    fn failure(&mut self, trouble: Trouble) -> EmbedError {
        let (problem, status) = match trouble {
            Trouble::Ended(problem) => {
                self.end(TERMINATE);
                (problem, self.child.try_wait().ok().flatten().map(|status| status.to_string()))
            }
            Trouble::Said(problem) => {
                self.end(Duration::ZERO);
                (problem, None)
            }
        };
        // What it wrote before its end may still be in the pipe; a process that it left behind may hold that open.
        let _ = self.silent.recv_timeout(Duration::from_secs(1));
        let last_words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        EmbedError::Program { program: self.command.clone(), problem, status, last_words }
    }

    /// Ends the program: it may end by itself for `patience`, then it is told to, then made to.
    fn end(&mut self, patience: Duration) {
        self.requests = None;
        if self.ends_within(patience) {
            return;
        }
        self.signal(false);
        if !self.ends_within(TERMINATE) {
            self.signal(true);
            let _ = self.child.wait();
        }
    }

    fn ends_within(&mut self, patience: Duration) -> bool {
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(None) if begun.elapsed() < patience => std::thread::sleep(INTERVAL / 4),
                Ok(None) => return false,
                _ => return true,
            }
        }
    }

    /// Asks the program and those that it has started to end, or ends them.
    #[cfg(unix)]
    fn signal(&mut self, now: bool) {
        let signal = if now { libc::SIGKILL } else { libc::SIGTERM };
        // SAFETY: no memory is involved; the child has not been waited for, so that the group is still its own.
        unsafe { libc::kill(-(self.child.id() as libc::pid_t), signal) };
    }

    #[cfg(not(unix))]
    fn signal(&mut self, _: bool) {
        let _ = self.child.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(LEAVE);
    }
}

/// Speaks with the program until one of the two has had enough.
fn converse(
    mut stdin: ChildStdin,
    stdout: ChildStdout,
    requests: &Receiver<Request>,
    answers: &Sender<Result<Answer, Trouble>>,
) {
    let mut stdout = BufReader::with_capacity(1 << 16, stdout);
    let greeting =
        read_line(&mut stdout).and_then(|line| Greeting::parse(&line).map_err(Trouble::Said)).map(Answer::Greeting);
    let mut goes_on = greeting.is_ok();
    if answers.send(greeting).is_err() {
        return;
    }
    while goes_on && let Ok(Request { pieces, shape }) = requests.recv() {
        let sent = pieces.iter().try_for_each(|piece| stdin.write_all(piece)).and_then(|()| stdin.flush());
        let rows = match sent {
            Ok(()) => read_rows(&mut stdout, shape),
            Err(error) => Err(Trouble::Ended(format!("does not read what it is sent ({error})"))),
        };
        goes_on = rows.is_ok();
        if answers.send(rows.map(Answer::Rows)).is_err() {
            return;
        }
    }
}

/// The line before the values.
#[derive(Deserialize)]
struct Header {
    shape: Option<Vec<usize>>,
    error: Option<String>,
}

fn read_rows(stdout: &mut impl BufRead, [rows, dimension]: [usize; 2]) -> Result<Vec<f32>, Trouble> {
    let line = read_line(stdout)?;
    let strange = || {
        let line = shortened(&line);
        Trouble::Said(format!("wrote `{line}` to its standard output, expected `{{\"shape\": [{rows}, {dimension}]}}`"))
    };
    let header: Header = serde_json::from_str(&line).map_err(|_| strange())?;
    if let Some(error) = header.error {
        return Err(Trouble::Said(format!("reports an error: {}", shortened(&error))));
    }
    let shape = header.shape.ok_or_else(strange)?;
    if shape != [rows, dimension] {
        return Err(Trouble::Said(format!("gave embeddings of shape {shape:?}, expected [{rows}, {dimension}]")));
    }
    let mut bytes = vec![0; rows * dimension * 4];
    stdout.read_exact(&mut bytes).map_err(|error| {
        Trouble::Ended(format!("ended within its answer, expected {} bytes of values ({error})", bytes.len()))
    })?;
    Ok(bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
}

/// A line of the program's output.
fn read_line(stdout: &mut impl BufRead) -> Result<String, Trouble> {
    let mut line = Vec::new();
    match stdout.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
        Ok(0) => Err(Trouble::Ended("has closed its standard output".to_owned())),
        Ok(_) => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
        Err(error) => Err(Trouble::Ended(format!("cannot be read from: {error}"))),
    }
}

/// Keeps the last lines of the program's standard error; `_alive` goes with it.
fn listen(stderr: ChildStderr, kept: &Mutex<VecDeque<String>>, _alive: Sender<()>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(1..) = stderr.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
        // Of a progress bar the last state counts.
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let text = text.rsplit('\r').next().unwrap_or_default();
        tracing::debug!("encoder program: {text}");
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LAST_LINES {
            kept.pop_front();
        }
        kept.push_back(shortened(text));
        line.clear();
    }
}

/// The words of a command line, with a POSIX shell's quotes and backslashes and nothing else of it.
fn split(command: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if character == open => quote = None,
            (None | Some('"'), '\\') => {
                let next = characters.next().ok_or("it ends with a backslash")?;
                let word = word.get_or_insert_default();
                if quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote does not end");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_a_shell_splits_them() {
        let words = |command: &str| split(command).unwrap();
        assert_eq!(words("  a  b\tc "), ["a", "b", "c"]);
        assert_eq!(words(r#"a 'b c'\ d "e \"f\" \g" '' x''y"#), ["a", "b c d", r#"e "f" \g"#, "", "xy"]);
        assert_eq!(words(" "), [""; 0]);
        assert!(split("a 'b").is_err() && split("a\\").is_err());
    }

    #[test]
    fn answers_are_read_to_the_byte() {
        let read = |mut bytes: &[u8]| match read_rows(&mut bytes, [1, 2]) {
            Ok(rows) => Ok(rows),
            Err(Trouble::Ended(why) | Trouble::Said(why)) => Err(why),
        };
        let good = [b"{\"shape\": [1, 2]}\n".to_vec(), 1.0_f32.to_le_bytes().to_vec(), 2.0_f32.to_le_bytes().to_vec()];
        assert_eq!(read(&good.concat()), Ok(vec![1.0, 2.0]));
        assert!(read(&good[..2].concat()).unwrap_err().contains("within its answer, expected 8 bytes"));
        assert!(read(b"{\"shape\": [2, 2]}\n").unwrap_err().contains("shape [2, 2], expected [1, 2]"));
        assert!(read(b"loading\n").unwrap_err().contains("wrote `loading` to its standard output"));
        assert!(read(b"{\"error\": \"out of memory\"}\n").unwrap_err().contains("reports an error: out of memory"));
        assert!(read(b"").unwrap_err().contains("closed"));
    }
}
