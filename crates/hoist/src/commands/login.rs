//! `login` and `logout`: who the user is, for a registry.

use std::{
    io::{self, BufRead as _, Read as _},
    process::ExitCode,
};

use hoist_core::Kind;
use hoist_registry::{Credential, Registry, RegistryError, Secret, StoredIn};

use crate::{
    args::{NoFlags, registry::LoginFlags},
    cli::Call,
    error::CliError,
    settings,
    ui::{self, terminal},
};

const HUB: &str = "docker.io";

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Log in to Docker Hub, and be asked for name and password:
    hoist login

  Log in to GitHub's registry with a token from the environment:
    echo $GITHUB_TOKEN | hoist login ghcr.io -u USERNAME --password-stdin
";

/// `login [OPTIONS] [SERVER]`.
pub(crate) fn login(
    _: &Call<'_>,
    flags: &LoginFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let server = words.first().map_or(HUB, String::as_str);
    let registry = Registry::new(settings::registries::options()?)?;
    let (username, password) = match who(flags, server)? {
        Some(known) => known,
        None => match existing(&registry, server)? {
            Some(known) => known,
            None => ask(flags.username.as_deref())?,
        },
    };
    let login = registry
        .login(server, &username, &password)
        .map_err(|error| match error {
            RegistryError::EmptyPassword { .. } => empty_password(flags, server),
            error => error.into(),
        })?;
    if let StoredIn::File(path) = &login.stored_in {
        ui::note(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
             Configure a credential helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    ui::line("Login Succeeded")?;
    Ok(ExitCode::SUCCESS)
}

/// What the flags say; `None` when somebody has to be asked.
fn who(flags: &LoginFlags, server: &str) -> Result<Option<(String, Secret)>, CliError> {
    if flags.password.is_some() && flags.password_stdin {
        return Err(CliError::invalid(
            "conflicting options: cannot specify both --password and --password-stdin",
        ));
    }
    if flags.password.is_some() {
        ui::note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if flags.password_stdin {
        let Some(username) = &flags.username else {
            return Err(CliError::invalid(
                "the --password-stdin option requires --username to be set",
            )
            .hint(format!(
                "hoist login {server} --username NAME --password-stdin"
            )));
        };
        let password = from_stdin(flags, server)?;
        return Ok(Some((username.clone(), password)));
    }
    match (&flags.username, &flags.password) {
        (Some(username), Some(password)) => {
            Ok(Some((username.clone(), Secret::new(password.clone()))))
        }
        (None, Some(_)) if !terminal::stdin_is_terminal() => Err(not_a_terminal()),
        (None, Some(password)) => Ok(Some((prompt("Username: ")?, Secret::new(password.clone())))),
        (_, None) => Ok(None),
    }
}

fn from_stdin(flags: &LoginFlags, server: &str) -> Result<Secret, CliError> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::invalid(format!("cannot read the password: {error}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(empty_password(flags, server));
    }
    Ok(Secret::new(password))
}

/// The variable that most people feed to a login of this registry.
fn empty_password(flags: &LoginFlags, server: &str) -> CliError {
    if !flags.password_stdin {
        return CliError::of(Kind::Invalid, "password is empty");
    }
    let variable = if server.contains("gitlab") {
        "$CI_JOB_TOKEN"
    } else {
        "$GITHUB_TOKEN"
    };
    let question = if server.contains("ghcr.io") || server.contains("gitlab") {
        format!("is {variable} set?")
    } else {
        format!("is the variable that holds it, such as {variable}, set?")
    };
    CliError::invalid(format!(
        "the password read from standard input is empty ({question})"
    ))
    .hint("an unset variable expands to nothing; set -u makes the shell say so")
}

/// A credential that is known already; Docker tries it before it asks.
fn existing(registry: &Registry, server: &str) -> Result<Option<(String, Secret)>, CliError> {
    let known = registry.options().credentials.get(server)?;
    let Some(Credential::Password { username, password }) = known else {
        return Ok(None);
    };
    ui::line(&format!(
        "Authenticating with existing credentials... [Username: {username}]"
    ))?;
    match registry.login(server, &username, &password) {
        Ok(_) => Ok(Some((username, password))),
        Err(error @ RegistryError::Unauthorized { .. }) => {
            ui::note(&format!("{error}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn not_a_terminal() -> CliError {
    CliError::invalid("Cannot perform an interactive login from a non TTY device").hint(
        "give the name with --username and the password with --password-stdin: \
         echo \"$TOKEN\" | hoist login SERVER --username NAME --password-stdin",
    )
}

fn ask(username: Option<&str>) -> Result<(String, Secret), CliError> {
    if !terminal::stdin_is_terminal() {
        return Err(not_a_terminal());
    }
    let username = match username {
        Some(username) => username.to_owned(),
        None => prompt("Username: ")?,
    };
    if username.is_empty() {
        return Err(CliError::invalid("username is empty"));
    }
    let silence = terminal::Silence::enter();
    let password = prompt("Password: ");
    drop(silence);
    ui::line("")?;
    let password = password?;
    if password.is_empty() {
        return Err(CliError::invalid("password is empty"));
    }
    Ok((username, Secret::new(password)))
}

fn prompt(question: &str) -> Result<String, CliError> {
    ui::out(question)?;
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::invalid(format!("cannot read the answer: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// `logout [SERVER]`.
pub(crate) fn logout(_: &Call<'_>, _: &NoFlags, words: &[String]) -> Result<ExitCode, CliError> {
    let server = words.first().map_or(HUB, String::as_str);
    let registry = Registry::new(settings::registries::options()?)?;
    let shown = if server == HUB {
        "https://index.docker.io/v1/"
    } else {
        server
    };
    if registry.logout(server)? {
        ui::line(&format!("Removing login credentials for {shown}"))?;
    } else {
        ui::line(&format!("Not logged in to {shown}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
