//! Tokens' bytes into text, and text up to the first stop: pure functions of strings.

/// Bytes into text; an unfinished character waits for its other bytes.
#[derive(Debug, Default)]
pub(super) struct Utf8Stream {
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// The buffer that more bytes go to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// The whole characters so far; a byte that can never become one is replaced by U+FFFD.
    pub(super) fn take(&mut self) -> String {
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(valid) => {
                    text.push_str(valid);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let (valid, rest) = self.pending.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(broken) = error.error_len() else {
                        self.pending = rest.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.pending = rest[broken..].to_vec();
                }
            }
        }
    }
}

/// Text up to the first of several stops. What might become a stop is held back until it is
/// clear.
#[derive(Debug)]
pub(super) struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What a filter lets through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Text that belongs to the answer for sure.
    pub(super) text: String,
    /// The stop that came after it.
    pub(super) stop: Option<String>,
}

impl StopFilter {
    pub(super) fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, held: String::new() }
    }

    /// Takes more text in.
    pub(super) fn push(&mut self, text: &str) -> Passed {
        self.held.push_str(text);
        let found = self.stops.iter().filter_map(|stop| Some((self.held.find(stop)?, stop)));
        if let Some((at, stop)) = found.min_by_key(|(at, _)| *at) {
            let (text, stop) = (self.held[..at].to_owned(), Some(stop.clone()));
            self.held.clear();
            return Passed { text, stop };
        }
        let safe = self.held.len() - self.ambiguous_bytes();
        let rest = self.held.split_off(safe);
        let text = std::mem::replace(&mut self.held, rest);
        Passed { text, stop: None }
    }

    /// What is still held back, when no more text comes.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Length of the longest end of the held text that a stop begins with.
    fn ambiguous_bytes(&self) -> usize {
        let longest = |stop: &String| {
            let bytes = stop.len().min(self.held.len());
            (1..=bytes)
                .rev()
                .find(|&length| {
                    stop.is_char_boundary(length) && self.held.ends_with(&stop[..length])
                })
                .unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes through, in pieces of `size` characters.
    fn filter(text: &str, stops: &[&str], size: usize) -> (String, bool) {
        let mut filter = StopFilter::new(stops.iter().map(ToString::to_string).collect());
        let mut out = String::new();
        let characters: Vec<char> = text.chars().collect();
        for piece in characters.chunks(size) {
            let passed = filter.push(&piece.iter().collect::<String>());
            out.push_str(&passed.text);
            if passed.stop.is_some() {
                return (out, true);
            }
        }
        out.push_str(&filter.finish());
        (out, false)
    }

    #[test]
    fn nothing_from_the_stop_on_comes_through_however_it_is_cut() {
        let text = "Dear Ann, <|im and so on<|im_end|>more";
        for size in 1..text.len() {
            let (out, stopped) = filter(text, &["<|im_end|>", "zzz"], size);
            assert!(stopped);
            assert_eq!(out, "Dear Ann, <|im and so on", "in pieces of {size}");
        }
    }

    #[test]
    fn the_beginning_of_a_stop_that_never_comes_is_kept() {
        assert_eq!(filter("a <|im", &["<|im_end|>"], 1), ("a <|im".to_owned(), false));
        assert_eq!(filter("ababab", &["abac"], 1), ("ababab".to_owned(), false));
    }

    #[test]
    fn characters_wait_for_their_bytes() {
        let mut stream = Utf8Stream::default();
        let mut out = String::new();
        for byte in "naïve — 日本".bytes() {
            stream.bytes().push(byte);
            out.push_str(&stream.take());
        }
        assert_eq!(out, "naïve — 日本");
        stream.bytes().extend([b'a', 0xff, b'b']);
        assert_eq!(stream.take(), "a\u{fffd}b");
    }
}
