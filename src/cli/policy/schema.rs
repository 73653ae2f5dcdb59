//! `inferneo policy schema`: the format of policy files, as editors read it.
pub(super) fn text() -> String {
    String::new()
}
