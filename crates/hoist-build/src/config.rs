//! The image configuration that a stage ends with: each instruction applied as BuildKit does.

use std::path::{Component, Path};

use hoist_core::image::{Config, Empty, Healthcheck, Image};
use hoist_dockerfile::instruction::{self, CommandForm, InstructionKind, KeyValue, Port};

use crate::history;

/// The configuration of a stage on its way from the base image to the last instruction.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StageConfig {
    pub(crate) config: Config,
    pub(crate) author: Option<String>,
    /// This stage has a CMD, so that an ENTRYPOINT does not drop it.
    cmd_set: bool,
}

impl StageConfig {
    /// What a stage starts with: the base image's configuration, or that of `scratch`. Triggers
    /// have been taken out to run, and are not handed on.
    pub(crate) fn from_image(image: Option<&Image>) -> Self {
        let mut config = image.map(|image| image.config.clone()).unwrap_or_default();
        config.on_build = Vec::new();
        if image.is_none() {
            "/".clone_into(&mut config.working_dir);
        }
        if !config.env.iter().any(|pair| pair.starts_with("PATH=")) {
            config
                .env
                .push(format!("PATH={}", hoist_core::image::DEFAULT_PATH));
        }
        Self {
            config,
            author: image.and_then(|image| image.author.clone()),
            cmd_set: false,
        }
    }

    /// What a stage starts with that is built on another one.
    pub(crate) fn from_stage(stage: &Self) -> Self {
        let mut next = stage.clone();
        next.config.on_build = Vec::new();
        next.cmd_set = false;
        next
    }

    /// The shell of shell forms.
    pub(crate) fn shell(&self) -> Vec<String> {
        match &self.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        }
    }

    /// The working directory, absolute.
    pub(crate) fn working_dir(&self) -> &str {
        match self.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// Apply an instruction whose variables are expanded and that changes nothing but the
    /// configuration. The text for the history, or `None` when it leaves no trace there; the
    /// error is a message.
    pub(crate) fn apply(&mut self, kind: &InstructionKind) -> Result<Option<String>, String> {
        let text = match kind {
            InstructionKind::Env(pairs) => self.env(pairs),
            InstructionKind::Label(pairs) => self.label(pairs),
            InstructionKind::Workdir(path) => self.workdir(path),
            InstructionKind::User(user) => {
                user.value.clone_into(&mut self.config.user);
                format!("USER {}", user.value)
            }
            InstructionKind::Cmd(command) => self.cmd(command),
            InstructionKind::Entrypoint(command) => self.entrypoint(command),
            InstructionKind::Expose(ports) => {
                self.expose(ports.iter().map(|port| port.value.as_str()))?
            }
            InstructionKind::Volume(paths) => {
                self.volume(paths.iter().map(|path| path.value.clone()).collect())?
            }
            InstructionKind::Healthcheck(check) => self.healthcheck(check),
            InstructionKind::Shell(shell) => {
                self.config.shell = Some(shell.clone());
                history::list("SHELL", shell)
            }
            InstructionKind::StopSignal(signal) => self.stop_signal(&signal.value)?,
            InstructionKind::OnBuild(trigger) => {
                self.config.on_build.push(trigger.expression.value.clone());
                return Ok(None);
            }
            InstructionKind::Maintainer(name) => {
                self.author = Some(name.value.clone());
                format!("MAINTAINER {}", name.value)
            }
            InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Arg(_) => return Ok(None),
        };
        Ok(Some(text))
    }

    /// Set `name` in the environment, in the place of an earlier value.
    fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let prefix = format!("{name}=");
        match self
            .config
            .env
            .iter_mut()
            .find(|known| known.starts_with(&prefix))
        {
            Some(known) => *known = pair,
            None => self.config.env.push(pair),
        }
    }

    fn env(&mut self, pairs: &[KeyValue]) -> String {
        for pair in pairs {
            self.set_env(&pair.key.value, &pair.value.value);
        }
        history::pairs("ENV", texts(pairs))
    }

    fn label(&mut self, pairs: &[KeyValue]) -> String {
        for (key, value) in texts(pairs) {
            self.config.labels.insert(key.to_owned(), value.to_owned());
        }
        history::pairs("LABEL", texts(pairs))
    }

    fn workdir(&mut self, path: &str) -> String {
        self.config.working_dir = absolute(self.working_dir(), path);
        format!("WORKDIR {}", self.config.working_dir)
    }

    fn cmd(&mut self, command: &CommandForm) -> String {
        let argv = command.argv(&self.shell());
        self.cmd_set = true;
        self.config.cmd = Some(argv.clone());
        // Docker sets it for both forms since BuildKit; only Windows looks at it.
        self.config.args_escaped = true;
        history::command("CMD", &argv)
    }

    fn entrypoint(&mut self, command: &CommandForm) -> String {
        let argv = command.argv(&self.shell());
        self.config.entrypoint = Some(argv.clone());
        if !self.cmd_set {
            self.config.cmd = None;
        }
        history::command("ENTRYPOINT", &argv)
    }

    fn expose<'a>(&mut self, ports: impl Iterator<Item = &'a str>) -> Result<String, String> {
        let mut entries = Vec::new();
        for port in ports {
            let port = Port::parse(port).map_err(|error| error.to_string())?;
            entries.extend(port.entries());
        }
        for entry in &entries {
            self.config.exposed_ports.insert(entry.clone(), Empty {});
        }
        Ok(history::list("EXPOSE", &entries))
    }

    fn volume(&mut self, paths: Vec<String>) -> Result<String, String> {
        if paths.iter().any(String::is_empty) {
            return Err("VOLUME specified can not be an empty string".to_owned());
        }
        let text = history::list("VOLUME", &paths);
        for path in paths {
            self.config.volumes.insert(path, Empty {});
        }
        Ok(text)
    }

    fn healthcheck(&mut self, check: &instruction::Healthcheck) -> String {
        let check = Healthcheck {
            test: check.test_words(),
            interval: check.interval.unwrap_or_default(),
            timeout: check.timeout.unwrap_or_default(),
            start_period: check.start_period.unwrap_or_default(),
            start_interval: check.start_interval.unwrap_or_default(),
            retries: check.retries.unwrap_or_default(),
        };
        let text = history::healthcheck(&check);
        self.config.healthcheck = Some(check);
        text
    }

    fn stop_signal(&mut self, signal: &str) -> Result<String, String> {
        signal
            .parse::<hoist_core::signal::Signal>()
            .map_err(|error| error.to_string())?;
        signal.clone_into(&mut self.config.stop_signal);
        Ok(format!("STOPSIGNAL {signal}"))
    }
}

fn texts(pairs: &[KeyValue]) -> impl Iterator<Item = (&str, &str)> {
    pairs
        .iter()
        .map(|pair| (pair.key.value.as_str(), pair.value.value.as_str()))
}

/// `path` made absolute against `directory` and cleaned, without a slash at its end.
pub(crate) fn absolute(directory: &str, path: &str) -> String {
    let joined = Path::new("/").join(directory).join(path);
    let mut clean = Vec::new();
    for component in joined.components() {
        match component {
            Component::Normal(name) => clean.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", clean.join("/"))
}

#[cfg(test)]
mod tests {
    use hoist_dockerfile::parse;

    use super::*;

    /// The configuration after `text`, whose instructions have no variables, and its history.
    fn built(base: Option<&Image>, text: &str) -> (StageConfig, Vec<String>) {
        let file = parse(text).unwrap();
        let mut stage = StageConfig::from_image(base);
        let lines = file.stages[0]
            .instructions
            .iter()
            .filter_map(|instruction| stage.apply(&instruction.kind).unwrap())
            .collect();
        (stage, lines)
    }

    #[test]
    fn instructions_change_the_configuration_as_buildkit_does() {
        let (stage, history) = built(
            None,
            "FROM scratch\n\
             ENV A=1 B=2\nENV A=3\nLABEL org.x=y\nWORKDIR app\nWORKDIR ../srv/./x/\nUSER app:web\n\
             EXPOSE 8000 53/udp 7000-7001\nVOLUME /data /logs\nSTOPSIGNAL SIGINT\n\
             SHELL [\"/bin/bash\", \"-c\"]\nCMD echo $HOME\n\
             HEALTHCHECK --interval=5s --retries=2 CMD [\"true\"]\nONBUILD RUN make\n",
        );
        insta::assert_snapshot!(serde_json::to_string(&stage.config).unwrap(), @r#"{"User":"app:web","ExposedPorts":{"53/udp":{},"7000/tcp":{},"7001/tcp":{},"8000/tcp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=3","B=2"],"Cmd":["/bin/bash","-c","echo $HOME"],"ArgsEscaped":true,"Volumes":{"/data":{},"/logs":{}},"WorkingDir":"/srv/x","Labels":{"org.x":"y"},"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","true"],"Interval":5000000000,"Retries":2},"Shell":["/bin/bash","-c"],"OnBuild":["RUN make"]}"#);
        insta::assert_snapshot!(history.join("\n"), @r#"
        ENV A=1 B=2
        ENV A=3
        LABEL org.x=y
        WORKDIR /app
        WORKDIR /srv/x
        USER app:web
        EXPOSE [8000/tcp 53/udp 7000/tcp 7001/tcp]
        VOLUME [/data /logs]
        STOPSIGNAL SIGINT
        SHELL [/bin/bash -c]
        CMD ["/bin/bash" "-c" "echo $HOME"]
        HEALTHCHECK {Test:[CMD true] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:2}
        "#);
    }

    #[test]
    fn an_entry_point_drops_the_command_of_the_base_but_not_of_the_stage() {
        let base = Image {
            created: None,
            author: Some("them".to_owned()),
            platform: hoist_core::Platform::host(),
            config: Config {
                cmd: Some(vec!["sh".to_owned()]),
                env: vec!["X=1".to_owned(), "PATH=/x".to_owned()],
                on_build: vec!["RUN x".to_owned()],
                ..Config::default()
            },
            rootfs: hoist_core::image::RootFs::default(),
            history: Vec::new(),
        };
        let (kept, _) = built(Some(&base), "FROM x\nCMD [\"a\"]\nENTRYPOINT [\"b\"]\n");
        assert_eq!(kept.config.cmd, Some(vec!["a".to_owned()]));
        let (dropped, _) = built(Some(&base), "FROM x\nENTRYPOINT b\n");
        assert_eq!(dropped.config.cmd, None);
        let entrypoint = ["/bin/sh", "-c", "b"].map(str::to_owned).to_vec();
        assert_eq!(dropped.config.entrypoint, Some(entrypoint));
        assert_eq!(dropped.config.env, ["X=1", "PATH=/x"]);
        assert_eq!(dropped.author.as_deref(), Some("them"));
        assert!(dropped.config.on_build.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut stage = StageConfig::from_image(None);
        for text in ["EXPOSE 99999", "EXPOSE x", "STOPSIGNAL SIGNOPE"] {
            let file = parse(&format!("FROM scratch\n{text}\n")).unwrap();
            assert!(
                stage.apply(&file.stages[0].instructions[0].kind).is_err(),
                "{text}"
            );
        }
    }
}
