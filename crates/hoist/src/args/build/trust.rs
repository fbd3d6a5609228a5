//! `--secret`, `--ssh`, and what may stay in a layer.

use std::path::PathBuf;

/// The flags about secrets.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustFlags {
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]" or
    /// "id=mysecret,env=NAME")
    #[arg(long, value_name = "secret", value_parser = secret)]
    pub(crate) secret: Vec<SecretSource>,
    /// SSH agent socket or keys to expose to the build (format:
    /// "default|<id>[=<socket>|<key>[,<key>]]")
    #[arg(long, value_name = "agent", value_parser = agent)]
    pub(crate) ssh: Vec<AgentSource>,
    /// File or directory of the image that may hold secrets, which otherwise end the build
    #[arg(long, value_name = "path", value_parser = layer_path)]
    pub(crate) allow_secret_in_layer: Vec<PathBuf>,
}

/// `--secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretSource {
    pub(crate) id: String,
    pub(crate) from: SecretFrom,
}

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretFrom {
    File(PathBuf),
    Variable(String),
    /// The variable that is called as the secret is, and the file of that name when there is none.
    Named,
}

/// `--ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentSource {
    pub(crate) id: String,
    /// A socket, or files with keys; none for the agent of the environment.
    pub(crate) paths: Vec<PathBuf>,
}

fn secret(text: &str) -> Result<SecretSource, String> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        match key.to_ascii_lowercase().as_str() {
            "id" => id = Some(value.to_owned()),
            "source" | "src" => file = Some(value.to_owned()),
            "env" => variable = Some(value.to_owned()),
            "type" if value == "file" || value == "env" => kind = Some(value.to_owned()),
            "type" => {
                return Err(format!(
                    "unsupported secret type \"{value}\": write file or env"
                ));
            }
            _ => {
                return Err(format!(
                    "unexpected key '{key}' in '{field}': write id, src, env or type"
                ));
            }
        }
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or("secret missing 'id'")?;
    // As Docker reads it: with type=env, src is the name of the variable.
    let from = match (kind.as_deref(), file, variable) {
        (_, Some(_), Some(_)) => return Err("secret has both src and env".to_owned()),
        (Some("env"), Some(name), None) | (_, None, Some(name)) => SecretFrom::Variable(name),
        (Some("env"), None, None) => SecretFrom::Variable(id.clone()),
        (_, Some(path), None) => SecretFrom::File(PathBuf::from(path)),
        (Some(_), None, None) => SecretFrom::File(PathBuf::from(&id)),
        (None, None, None) => SecretFrom::Named,
    };
    Ok(SecretSource { id, from })
}

fn agent(text: &str) -> Result<AgentSource, String> {
    let (id, paths) = match text.split_once('=') {
        Some((id, paths)) => (id, paths.split(',').collect()),
        None => (text, Vec::new()),
    };
    if id.is_empty() || paths.iter().any(|path| path.is_empty()) {
        return Err(format!(
            "invalid agent {text:?}: write default, ID=SOCKET or ID=KEY,KEY"
        ));
    }
    Ok(AgentSource {
        id: id.to_owned(),
        paths: paths.into_iter().map(PathBuf::from).collect(),
    })
}

fn layer_path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    Err(format!(
        "{text:?} is not a path in the image: it starts with a /"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_as_dockers_are() {
        let variable = |name: &str| SecretFrom::Variable(name.to_owned());
        let file = |path: &str| SecretFrom::File(PathBuf::from(path));
        let table = [
            ("id=a", Ok(SecretFrom::Named)),
            ("id=a,src=f", Ok(file("f"))),
            ("type=file,id=a,source=f", Ok(file("f"))),
            ("type=file,id=a", Ok(file("a"))),
            ("id=a,env=B", Ok(variable("B"))),
            ("type=env,id=a", Ok(variable("a"))),
            ("type=env,id=a,src=B", Ok(variable("B"))),
            ("src=f", Err("secret missing 'id'")),
            ("id=a,src=f,env=B", Err("secret has both src and env")),
            ("id", Err("invalid field 'id' must be a key=value pair")),
            (
                "id=a,type=x",
                Err("unsupported secret type \"x\": write file or env"),
            ),
            (
                "id=a,x=y",
                Err("unexpected key 'x' in 'x=y': write id, src, env or type"),
            ),
        ];
        for (text, expected) in table {
            let found = secret(text).map(|source| source.from);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn agents_have_an_id_and_perhaps_a_socket() {
        let source = agent("default").unwrap();
        assert_eq!(source.id, "default");
        assert_eq!(source.paths, Vec::<PathBuf>::new());
        let paths = agent("work=/run/agent").unwrap().paths;
        assert_eq!(paths, [PathBuf::from("/run/agent")]);
        let paths = agent("work=a,b").unwrap().paths;
        assert_eq!(paths, [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(agent("=x").is_err() && agent("x=").is_err() && agent("x=a,").is_err());
        assert!(layer_path("app/.env").is_err());
    }
}
