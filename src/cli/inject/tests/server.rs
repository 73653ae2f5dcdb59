//! What `kubectl get -o yaml` prints: an API server's defaults, its own fields, and lists.

use super::*;

const FROM_SERVER: &str = r#"apiVersion: v1
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    annotations:
      deployment.kubernetes.io/revision: "1"
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{},"name":"shop","namespace":"default"}}
    creationTimestamp: "2026-01-02T03:04:05Z"
    generation: 1
    managedFields:
    - apiVersion: apps/v1
      fieldsType: FieldsV1
      fieldsV1:
        f:spec:
          f:template:
            f:spec:
              f:containers:
                k:{"name":"app"}:
                  .: {}
                  f:ports:
                    .: {}
                    k:{"containerPort":3000,"protocol":"TCP"}:
                      .: {}
      manager: kubectl-client-side-apply
      operation: Update
      time: "2026-01-02T03:04:05Z"
    name: shop
    namespace: default
    resourceVersion: "7"
    uid: 6f1c0b0e-0000-4000-8000-000000000000
  spec:
    progressDeadlineSeconds: 600
    replicas: 1
    template:
      metadata:
        creationTimestamp: null
        labels:
          app: shop
      spec:
        containers:
        - image: shop:1
          imagePullPolicy: IfNotPresent
          name: app
          ports:
          - containerPort: 3000
            protocol: TCP
          - containerPort: 9090
            name: statsd
            protocol: UDP
          resources: {}
          terminationMessagePath: /dev/termination-log
          terminationMessagePolicy: File
        dnsPolicy: ClusterFirst
        restartPolicy: Always
        schedulerName: default-scheduler
        securityContext: {}
        terminationGracePeriodSeconds: 30
  status:
    availableReplicas: 1
    conditions:
    - message: ReplicaSet "shop-6d5f" has successfully progressed.
      status: "True"
      type: Progressing
kind: List
metadata:
  resourceVersion: ""
"#;

#[test]
fn what_an_api_server_returns_is_injected() {
    let done = injected(FROM_SERVER, "");
    assert_eq!((&done.objects, warnings(&done).len()), (&vec!["Deployment/shop".to_owned()], 0));
    assert!(done.text.contains("        terminationGracePeriodSeconds: 60\n"), "{}", done.text);
    assert_eq!(done.text.matches("    namespace: default\n").count(), 3, "{}", done.text);
    let [note] = notes(&done)[..] else { panic!("{:?}", done.remarks) };
    for word in ["Deployment/shop: ", "terminationGracePeriodSeconds", "30", "60"] {
        assert!(note.contains(word), "{note}");
    }
    // The server's own fields pass as they came.
    let deployment = |text: &str| objects(text).into_iter().find(|each| each.str_at("kind") == "Deployment").unwrap();
    let (before, after) = (deployment(FROM_SERVER), deployment(&done.text));
    for key in ["metadata", "status"] {
        assert_eq!(write::document(before.get(key).unwrap()), write::document(after.get(key).unwrap()));
    }
}

#[test]
fn only_the_server_s_own_grace_period_is_raised() {
    let with = |seconds: &str| format!("{POD}  terminationGracePeriodSeconds: {seconds}\n");
    for seconds in ["null", "40", "60", "90"] {
        assert_eq!(notes(&injected(&with(seconds), "")), [""; 0], "{seconds}");
    }
    assert_eq!(notes(&injected(&with("30"), "")).len(), 1);
    for seconds in ["0", "10", "29", "31", "39"] {
        assert!(refused(&with(seconds), "").contains(&format!("({seconds}) is too short")), "{seconds}");
    }
}

#[test]
fn what_comes_back_from_a_cluster_is_injected_anew() {
    let first = injected(FROM_SERVER, "").text;
    // An API server fills in the sidecar's own defaults, and leaves empty data out.
    let back = first.replace("\n  data: {}\n", "\n").replace(
        "          restartPolicy: Always\n",
        "          restartPolicy: Always\n          terminationMessagePath: /dev/termination-log\n",
    );
    assert!(!back.contains("data: {}") && back.matches("terminationMessagePath").count() == 2, "{back}");
    let again = inject(&back, "m.yaml", &sidecar(""), None).unwrap();
    assert!(again.remarks.is_empty(), "{:?}", again.remarks);
    assert_eq!(again.text.matches("- name: inferneo\n").count(), 1, "{}", again.text);
    assert_eq!(again.text.matches("kind: ConfigMap\n").count(), 2, "{}", again.text);
}
