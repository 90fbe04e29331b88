//! The fixes that ship with Amend: free of mistakes, and their own tests hold.

use amend_pipeline::remedy::rehearse::rehearse;
use amend_tests::harness::catalogue;

#[tokio::test]
async fn the_tests_inside_every_fix_hold() {
    let catalogue = catalogue();
    assert!(catalogue.iter().len() >= 3);
    for file in catalogue.iter() {
        for result in rehearse(file).await {
            assert_eq!(result.wrong, None, "{} ({})", result.name, result.place);
        }
    }
}

#[test]
fn a_fix_that_has_its_own_file_has_no_entry_in_the_table_of_settings() {
    let catalogue = catalogue();
    catalogue.settings().expect("every recommendation stands in one place");
    let table = amend_catalog::settings_file::built_in().expect("the table is read");
    assert_eq!(
        table.names().find(|name| catalogue.get(name).is_some()),
        None,
        "remove its entry: the fix says what it closes"
    );
}
