//! What rcptd reads in a scenario, and the maps it then serves.

use super::Stage;
use crate::Outcome;
use crate::rcptd::configure;
use crate::relay::listen;
use crate::script::Want;
use crate::wiring::Wiring;
use std::fs;

impl Stage<'_> {
    /// Puts a file where rcptd reads it: `from` of the scenario's folder, or the one that all share. The lists that
    /// a configuration names and the scenario does not have are empty.
    pub fn install(&self, file: &str, from: Option<&str>) -> Outcome {
        let own = self.data.join(from.unwrap_or(file));
        let shared = match file {
            "rcptd.conf" => self.mta.root.join(self.mta.kind.wiring.config()),
            _ => self.data.with_file_name(file),
        };
        let path = if from.is_some() || own.exists() { own } else { shared };
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let folder = self.folder.display().to_string();
        for list in text.split("texthash:@FOLDER@/").skip(1).filter_map(|rest| rest.split('"').next()) {
            let entries = fs::read_to_string(self.data.join(list)).unwrap_or_default();
            fs::write(self.folder.join(list), entries).map_err(|e| format!("{list}: {e}"))?;
        }
        let mut names = vec![
            // What the configurations that operators are shown have to be adapted in.
            ("example.com".to_owned(), "example.test".to_owned()),
            ("\"passwd:\"".to_owned(), format!("\"file:{folder}/accounts\"")),
            ("file:/etc/rcptd/accounts".to_owned(), format!("file:{folder}/accounts")),
            ("@FOLDER@".to_owned(), folder),
            ("@VRFY@".to_owned(), self.relay.address().to_string()),
        ];
        names.extend(self.mta.port(3047).map(|milter| ("@MILTER@".to_owned(), milter.to_string())));
        for (written, address) in &self.mta.ports {
            names.push((format!("127.0.0.1:{written}\""), format!("{address}\"")));
        }
        configure(&self.folder, file, &text, &names)
    }

    /// Opens the socket that systemd would hold, if the configuration has it so.
    pub(super) fn hold_socket(&mut self) -> Outcome {
        let config =
            fs::read_to_string(self.folder.join("rcptd.conf")).map_err(|e| format!("rcptd.conf: {e}"))?;
        if let Some(address) = self.mta.port(2224).filter(|_| config.contains("\"systemd:map\"")) {
            self.rcptd.socket = Some(listen(address)?);
        }
        Ok(())
    }

    /// Writes the accounts of the mail server to a list. With the milter that is to have the names of aliases(5),
    /// too, since the milter is asked about those as well.
    pub(super) fn list_accounts(&self) -> Outcome {
        let mut accounts = self.mta.accounts()?;
        if self.mta.kind.wiring == Wiring::Both {
            accounts.extend(["postmaster", "root", "sales"].map(str::to_owned));
        }
        let list = self.folder.join("accounts");
        fs::write(list, accounts.join("\n") + "\n").map_err(|e| format!("list of accounts: {e}"))
    }

    /// What postmap(1) in the container says of a key, by each protocol by which rcptd serves the map.
    pub(super) fn postmap(&mut self, map: &str, key: &str, want: &Want) -> Outcome {
        let tables = self.tables(map)?;
        for table in &tables {
            let (code, said) = self.mta.ask(&["postmap", "-q", key, table])?;
            let got = match code {
                0 => Want::Value(said.clone()),
                _ if said.is_empty() => Want::None,
                _ => Want::Error,
            };
            if got != *want {
                return Err(format!("postmap -q '{key}' {table}: got {got:?} ({said}), want {want:?}"));
            }
        }
        Ok(())
    }

    /// How Postfix names a map that the configuration serves, for each protocol.
    fn tables(&self, map: &str) -> Outcome<Vec<String>> {
        let config =
            fs::read_to_string(self.folder.join("rcptd.conf")).map_err(|e| format!("rcptd.conf: {e}"))?;
        let (mut tables, mut section, mut place) = (Vec::new(), "", "");
        for line in config.lines() {
            if line.starts_with('[') {
                (section, place) = (line, "");
            } else if let Some(at) = line.strip_prefix("listen = \"inet:").and_then(|at| at.split('"').next())
            {
                place = at;
                if section == "[[socketmap]]" {
                    tables.push(format!("socketmap:inet:{place}:{map}"));
                }
            } else if section == "[[tcp_table]]" && line == format!("map = \"{map}\"") {
                tables.push(format!("tcp:{place}"));
            }
        }
        if tables.is_empty() { Err(format!("map {map} is not served")) } else { Ok(tables) }
    }
}
