//! `rcptd import sockmapd`

use super::{CONFIG, New, PASSWORD, count, hand_over, json, read, refused, settings};
use crate::cli::{args, exit};
use crate::config::{self, MAX_CONFIG};

pub fn run(args: &args::Sockmapd) -> u8 {
    match import(args) {
        Ok(()) => exit::OK,
        Err(code) => code,
    }
}

fn import(args: &args::Sockmapd) -> Result<(), u8> {
    let content = read(&args.file, MAX_CONFIG)?;
    let file = args.file.display().to_string();
    // Errors are formatted here, without quoting the text, since it contains the password.
    let parsed = json::parse(&content).map_err(|fault| vec![fault]);
    let sockmapd = parsed.and_then(|value| settings::read(&value)).map_err(|faults| {
        for fault in &faults {
            eprintln!("{}", fault.of(&file));
        }
        eprintln!("rcptd: {}", count(faults.len(), "error"));
        refused()
    })?;
    let (configuration, differences) = config::import_sockmapd(&file, &sockmapd, PASSWORD);
    let password = sockmapd.password.as_ref().map(|password| format!("{}\n", password.reveal()));
    // The password first: a configuration without it is useless.
    let mut files = Vec::new();
    if let Some(password) = &password {
        files.push(New { name: PASSWORD, content: password, private: true });
    }
    files.push(New { name: CONFIG, content: &configuration, private: false });
    hand_over(&count(sockmapd.maps.len(), "map"), &differences, &files, &args.output)
}
