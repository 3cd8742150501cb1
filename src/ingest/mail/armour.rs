//! What programs wrap around a plain text, or put into it: OpenPGP armour, uuencoded files.

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const ENCRYPTED: &str = "-----BEGIN PGP MESSAGE-----";
const ENCRYPTED_END: &str = "-----END PGP MESSAGE-----";

/// The lines of `text` without armour: what was signed stays, what is encrypted or encoded goes.
pub(super) fn without(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut state = State::Text;
    for line in text.lines() {
        let end = line.trim_end();
        state = match state {
            State::Text if end == SIGNED => State::SignedHeader,
            State::Signed if end == SIGNATURE => State::Until("-----END PGP SIGNATURE-----"),
            State::Text | State::Signed if end == ENCRYPTED => State::Until(ENCRYPTED_END),
            State::Text | State::Signed if is_uuencoded_start(end) => State::Until("end"),
            State::SignedHeader if end.is_empty() => State::Signed,
            State::Until(last) if end == last => State::Text,
            state => {
                if matches!(state, State::Text | State::Signed) {
                    let escaped = matches!(state, State::Signed).then(|| line.strip_prefix("- "));
                    kept.push_str(escaped.flatten().unwrap_or(line));
                    kept.push('\n');
                }
                state
            }
        };
    }
    kept
}

#[derive(Clone, Copy)]
enum State {
    Text,
    /// Between the mark and the blank line that what is signed begins after.
    SignedHeader,
    Signed,
    /// Passing over lines up to this one.
    Until(&'static str),
}

/// `begin 644 name`
fn is_uuencoded_start(line: &str) -> bool {
    let mut words = line.split(' ');
    let is_mode = |word: &str| {
        matches!(word.len(), 3 | 4) && word.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
    };
    words.next() == Some("begin") && words.next().is_some_and(is_mode) && words.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_stays() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nDear Ann,\n\n- -- \nMara\n\
                    -----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\nFooter\n";
        assert_eq!(without(text), "Dear Ann,\n\n-- \nMara\nFooter\n");
    }

    #[test]
    fn what_is_encrypted_or_encoded_goes() {
        let text = "Here it is.\nbegin 644 a.txt\n#0V%T\n`\nend\nBye.\n\
                    -----BEGIN PGP MESSAGE-----\nhQEMA\n";
        assert_eq!(without(text), "Here it is.\nBye.\n");
        assert_eq!(without("begin with this\n- a\n"), "begin with this\n- a\n");
    }
}
