//! A command on a terminal of its own, as a person at a keyboard has it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::DEADLINE;

/// The keyboard's and screen's end of a terminal that a command runs on.
pub(crate) struct Terminal {
    screen: Receiver<Vec<u8>>,
    keyboard: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts a command on a new terminal of 24 lines and 80 columns.
    pub(crate) fn spawn(command: &Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).expect("a terminal");
        grantpt(&controller).expect("grantpt");
        unlockpt(&controller).expect("unlockpt");
        let name = ptsname(&controller, Vec::new()).expect("the terminal has a name");
        let side = || {
            let path = name.to_str().expect("the name of a terminal");
            File::options()
                .read(true)
                .write(true)
                .open(path)
                .expect("the terminal opens")
        };
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&controller, size).expect("the size of a terminal");

        // `setsid --ctty` makes it the controlling terminal, so that Ctrl-C is a signal.
        let mut leader = Command::new("setsid");
        leader
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            leader.current_dir(directory);
        }
        leader.env_clear();
        leader.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        leader.stdin(side()).stdout(side()).stderr(side());
        let child = leader.spawn().expect("setsid (Debian package util-linux)");
        drop(leader);

        let keyboard = File::from(controller);
        let mut output = keyboard.try_clone().expect("a second descriptor");
        let (sender, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            screen,
            keyboard,
            child,
            seen: String::new(),
        }
    }

    /// Presses keys; `\x03` is Ctrl-C, `\x04` Ctrl-D.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the terminal takes keys");
    }

    /// Gives the terminal another size, as a window manager would.
    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.keyboard, size).expect("the size of a terminal");
    }

    /// Waits until what appeared since the last wait holds this text, and forgets it up to there.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self
                .screen
                .recv_timeout(DEADLINE.saturating_sub(begun.elapsed()))
            {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!(
                    "{text:?} never appeared ({error}); on the screen: {:?}",
                    self.seen
                ),
            }
        }
    }

    /// Waits until the command ends; its exit status and what else appeared.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (i32, String) {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None => {
                    assert!(
                        begun.elapsed() < DEADLINE,
                        "it did not end; on the screen: {:?}",
                        self.seen
                    );
                    thread::sleep(Duration::from_millis(2));
                }
            }
        };
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(200)) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        (status.code().unwrap_or(-1), std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
