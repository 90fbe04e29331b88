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

#[test]
fn mistakes_on_the_way_to_the_target_are_shown_with_their_place() {
    let shipped = amend_tests::harness::read("shared/catalog/fixes/aws/s3-block-public-access.yaml");
    let wrong = |from: &str, to: &str| {
        let text = shipped.replacen(from, to, 1);
        assert_ne!(text, shipped, "{from}");
        let mistakes = amend_catalog::fix_file::load(&amend_catalog::SourceText::new("x.yaml", text)).expect_err(to);
        mistakes.list().iter().map(|one| format!("{}: {}", one.line, one.message)).collect::<Vec<_>>().join("\n")
    };
    let other = wrong(
        "from: arn:{partition}:cloudtrail:{region}:{account}:trail/{name}",
        "from: //storage.googleapis.com/{name}",
    );
    assert!(other.contains("10: this is of another cloud than the target"), "{other}");
    let taken = wrong("      trail: {", "      block: {");
    assert!(taken.contains("12: `block` stands for something else already"), "{taken}");
    assert!(
        wrong("call: cloudtrail:GetTrail,", "call: cloudtrail:UpdateTrail,")
            .contains("writes, and stands under `reads`")
    );
    assert!(wrong("+ trail.Trail.S3BucketName\n", "+ trial.Trail.S3BucketName\n").contains("`trial`"));
}
