//! A model's source read again while the program runs.
//!
//! Decides what carries over: its devices, its sessions where nothing else chooses them, and of the same model on the same
//! machine what was learned of it. When it is read, and when it is served, is the repository's.

use super::learned::Before;
use super::load::{Loaded, Loader, Served};
use crate::dispatch::{Fresh, LearnedCost, Source};
use crate::model::{Mode, Model};

impl Source for Loader {
    fn read(&self, model: &Model, learned: &[LearnedCost]) -> Result<Fresh, String> {
        let settings = self.config.models.iter().find(|settings| settings.name == *model.name);
        let found = settings.and_then(|settings| Some((settings, self.sites.get(&settings.name)?)));
        let (settings, site) = found.ok_or("it is not configured")?;
        let before = Before { model: model.id, learned };
        let loaded = self.load(settings, site, Some(Served { model, before })).map_err(|error| error.to_string())?;
        let Loaded { model: new, plans, known, costs } = loaded;
        // What was seen of its rows while it ran is true of the same model.
        let is_same = known.as_ref().is_some_and(|known| self.keeper.is_same(model.id, known));
        if is_same && new.spec == model.spec && model.batching().mode == Mode::Solo {
            new.set_batching((*model.batching()).clone());
        }
        let (keeper, old, id) = (self.keeper.clone(), model.id, new.id);
        let placed = Box::new(move || keeper.replace(old, id, known));
        Ok(Fresh { model: new, plans, learned: costs, placed })
    }
}
