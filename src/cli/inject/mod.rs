//! `inferneo inject`: adds the sidecar to a Kubernetes manifest, offline.
//!
//! Decides the grammar and its defaults, which are those of the library chart. Speaks to no cluster.

mod kinds;
mod manifest;
mod names;
mod node;
mod pod;
mod read;
mod sidecar;
mod survey;
#[cfg(test)]
mod tests;
mod write;

use super::{bad_usage, failed};
use crate::remote::Target;
use manifest::Remark;
use sidecar::{Gpu, Models, Sidecar};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Adds the sidecar to the pods of a Kubernetes manifest and prints the result; other objects stay as they are.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The sidecar goes into each Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, \
    Job, CronJob, Pod, Rollout (Argo) and DeploymentConfig (OpenShift), in lists too. Another object that may run pods is \
    left as it is, with a warning on stderr."
)]
pub(super) struct Args {
    /// The manifest, YAML or JSON; `-` reads stdin
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// Image of the sidecar [default: inferneo:VERSION, with -cuda behind it where --gpu is given]
    #[arg(long, value_name = "IMAGE", env = "INFERNEO_INJECT_IMAGE")]
    image: Option<String>,
    /// When the image is pulled
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", env = "INFERNEO_INJECT_IMAGE_PULL_POLICY")]
    #[arg(value_parser = ["Always", "IfNotPresent", "Never"])]
    image_pull_policy: String,
    /// Model folder in the container; repeatable [default: minilm=/models/minilm, unless there is an upstream]
    #[arg(long = "model", visible_alias = "models", value_name = "[NAME=]PATH", value_delimiter = ',')]
    #[arg(env = "INFERNEO_INJECT_MODEL")]
    models: Vec<String>,
    /// PersistentVolumeClaim that holds the models, mounted at /models
    #[arg(long, value_name = "NAME", group = "source", env = "INFERNEO_INJECT_MODELS_CLAIM")]
    models_claim: Option<String>,
    /// Image that holds the models, mounted at /models (Kubernetes 1.31 or newer)
    #[arg(long, value_name = "IMAGE", group = "source", env = "INFERNEO_INJECT_MODELS_IMAGE")]
    models_image: Option<String>,
    /// Folder of the node that holds the models, mounted at /models
    #[arg(long, value_name = "PATH", group = "source", env = "INFERNEO_INJECT_MODELS_HOST_PATH")]
    models_host_path: Option<String>,
    /// Where requests go that are not inference, for example http://127.0.0.1:8000
    #[arg(long, value_name = "URL", value_parser = upstream, env = "INFERNEO_INJECT_UPSTREAM")]
    upstream: Option<String>,
    /// GPUs to ask for, for example nvidia.com/gpu=1
    #[arg(long, value_name = "RESOURCE=N", value_parser = gpu, env = "INFERNEO_INJECT_GPU")]
    gpu: Option<(String, u32)>,
    /// Runtime class of a pod with --gpu, where the cluster needs one
    #[arg(long, value_name = "NAME", requires = "gpu", env = "INFERNEO_INJECT_RUNTIME_CLASS")]
    runtime_class: Option<String>,
    /// Port of requests, on the pod's loopback
    #[arg(long, value_name = "PORT", default_value = "8080", env = "INFERNEO_INJECT_DATA_PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    data_port: u16,
    /// Port of metrics and probes
    #[arg(long, value_name = "PORT", default_value = "9090", env = "INFERNEO_INJECT_ADMIN_PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    admin_port: u16,
    /// What the container asks for
    #[arg(long, value_name = "RESOURCE=N", value_delimiter = ',', value_parser = quantity)]
    #[arg(default_value = "cpu=500m,memory=512Mi", env = "INFERNEO_INJECT_REQUESTS")]
    requests: Vec<(String, String)>,
    /// What the container may use
    #[arg(long, value_name = "RESOURCE=N", value_delimiter = ',', value_parser = quantity)]
    #[arg(default_value = "cpu=2,memory=1Gi", env = "INFERNEO_INJECT_LIMITS")]
    limits: Vec<(String, String)>,
    /// ConfigMap of policies that is there already, instead of one of the sidecar's own
    #[arg(long, value_name = "NAME", value_parser = object, env = "INFERNEO_INJECT_POLICIES_CONFIG_MAP")]
    policies_config_map: Option<String>,
    /// Names the ConfigMaps: NAME-config and NAME-policies [default: the object's name, -inferneo, and its kind unless it
    /// is a Deployment; a hash where that is too long]
    #[arg(long, value_name = "NAME", value_parser = instance, env = "INFERNEO_INJECT_NAME")]
    name: Option<String>,
    /// One more container instead of a native sidecar, for Kubernetes below 1.29
    #[arg(long)]
    plain: bool,
    /// Exit with code 2, and print no manifest, where an object that may run pods is left without the sidecar
    #[arg(long)]
    strict: bool,
}

/// Most bytes of a manifest.
const MOST_BYTES: u64 = 64 << 20;

/// Prints the manifest. Exit code 2, and nothing on stdout, where it cannot be read or has no room.
#[must_use]
pub(super) fn run(args: Args) -> ExitCode {
    let (file, strict) = (args.filename.clone(), args.strict);
    let name = args.name.clone().filter(|name| !name.is_empty());
    let injected = sidecar(args).and_then(|sidecar| {
        let (text, shown) = read_file(&file)?;
        manifest::inject(&text, &shown, &sidecar, name.as_deref())
    });
    let injected = match injected {
        Ok(injected) => injected,
        Err(error) => {
            eprintln!("inferneo inject: {error}");
            return bad_usage();
        }
    };
    let mut left_out = 0;
    for remark in &injected.remarks {
        left_out += usize::from(matches!(remark, Remark::LeftOut(_)));
        match remark {
            Remark::Note(remark) => eprintln!("inferneo inject: note: {remark}"),
            Remark::Warning(remark) | Remark::LeftOut(remark) => eprintln!("inferneo inject: warning: {remark}"),
        }
    }
    if strict && left_out > 0 {
        eprintln!("inferneo inject: {left_out} left without the sidecar, which --strict does not allow");
        return bad_usage();
    }
    if injected.objects.is_empty() {
        eprintln!("inferneo inject: nothing to inject into: no object of a kind that is injected (--help lists them)");
    }
    match io::stdout().write_all(injected.text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inferneo inject: cannot write: {error}");
            failed()
        }
    }
}

/// The text of a file or of stdin, and what it is called in messages.
fn read_file(path: &Path) -> Result<(String, String), String> {
    let mut bytes = Vec::new();
    let mut most = |source: &mut dyn Read| source.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    let (read, shown) = match path == Path::new("-") {
        true => (most(&mut io::stdin()), "stdin".to_owned()),
        false => (std::fs::File::open(path).and_then(|mut file| most(&mut file)), path.display().to_string()),
    };
    read.map_err(|error| format!("{shown}: {error}"))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("{shown}: it is longer than {} MiB", MOST_BYTES >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("{shown}:{line}: it is not text in UTF-8")
    })?;
    Ok((text, shown))
}

fn sidecar(args: Args) -> Result<Sidecar, String> {
    if args.data_port == args.admin_port {
        return Err(format!("--data-port and --admin-port are both {}; each plane needs its own", args.data_port));
    }
    let mut models: Vec<String> = args.models.into_iter().filter(|model| !model.is_empty()).collect();
    if models.is_empty() && args.upstream.is_none() {
        models.push("minilm=/models/minilm".to_owned());
    }
    let source = match (args.models_claim, args.models_image, args.models_host_path) {
        (Some(claim), ..) => Models::Claim(claim),
        (_, Some(image), _) => Models::Volume(image),
        (.., Some(path)) => Models::HostPath(path),
        (None, None, None) => Models::Image,
    };
    let runtime_class = args.runtime_class;
    Ok(Sidecar {
        image: args.image,
        pull_policy: args.image_pull_policy,
        models,
        source,
        upstream: args.upstream,
        data_port: args.data_port,
        admin_port: args.admin_port,
        gpu: args.gpu.map(|(resource, count)| Gpu { resource, count, runtime_class }),
        requests: args.requests,
        limits: args.limits,
        policies: args.policies_config_map.filter(|name| !name.is_empty()),
        plain: args.plain,
    })
}

fn upstream(word: &str) -> Result<String, String> {
    word.parse::<Target>().map(|_| word.to_owned())
}

fn object(word: &str) -> Result<String, String> {
    named(word, names::LONGEST_OBJECT)
}

fn instance(word: &str) -> Result<String, String> {
    named(word, names::LONGEST_INSTANCE)
}

/// A name that may be empty, which counts as absent: an environment may hold an empty value.
fn named(word: &str, longest: usize) -> Result<String, String> {
    if !word.is_empty() {
        names::check(word, longest)?;
    }
    Ok(word.to_owned())
}

fn gpu(word: &str) -> Result<(String, u32), String> {
    let (resource, count) = quantity(word)?;
    match count.parse() {
        Ok(count) if count > 0 => Ok((resource, count)),
        _ => Err("a whole number of at least 1 is wanted, for example nvidia.com/gpu=1".to_owned()),
    }
}

fn quantity(word: &str) -> Result<(String, String), String> {
    match word.split_once('=') {
        Some((resource, quantity)) if !resource.is_empty() && !quantity.is_empty() => {
            Ok((resource.to_owned(), quantity.to_owned()))
        }
        _ => Err("RESOURCE=N is wanted, for example memory=1Gi".to_owned()),
    }
}
