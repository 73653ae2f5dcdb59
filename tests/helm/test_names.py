"""What objects are called: names that fit, and that no other object and no other release has."""

from parts import of_kind, template


def test_names_fit(render):
    long = "a-release-whose-name-is-as-long-as-helm-lets-it-be-53"
    for sets in (
        [],
        ["fullnameOverride=" + "n" * 50],
        ["mode=sidecar", "app.image=shop:1", "nameOverride=" + "n" * 50],
    ):
        objects = render("everything-on-values.yaml", "autoscaling.enabled=false", *sets, release=long)
        # Services and pods are names in DNS; what is mounted may be longer.
        short = [each for each in objects if each["kind"] not in ("ConfigMap", "PrometheusRule")]
        assert all(len(each["metadata"]["name"]) <= 63 for each in short)
        assert all(len(value) <= 63 for each in objects for value in each["metadata"].get("labels", {}).values())


def test_a_dot_in_a_release_s_name_is_no_part_of_a_name(render):
    names = [each["metadata"]["name"] for each in render(None, release="shop.eu")]
    assert "shop-eu-inferneo" in names and not any("." in name for name in names)


def test_two_releases_share_a_namespace(render):
    one, other = (render("sidecar-gpu-values.yaml", "podDisruptionBudget.enabled=true", release=name) for name in "ab")

    def names(objects):
        return {(each["kind"], each["metadata"]["name"]) for each in objects}

    def selectors(objects):
        found = [each["spec"].get("selector") or each["spec"]["podSelector"] for each in objects if "spec" in each]
        return [each.get("matchLabels", each) for each in found]

    assert not names(one) & names(other)
    for mine, theirs in ((one, other), (other, one)):
        services = [each["metadata"]["labels"] for each in of_kind(theirs, "Service")]
        for labels in [template(theirs)["metadata"]["labels"], *services]:
            assert len(selectors(mine)) == 6
            assert not any(selector.items() <= labels.items() for selector in selectors(mine))


def test_no_object_has_a_name_twice(render, ci_values):
    objects = render(ci_values)
    named = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(named) == len(set(named))
    assert of_kind(objects, "ConfigMap")
