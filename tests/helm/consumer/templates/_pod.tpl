{{- define "shop.pod" -}}
metadata:
  labels: {app: shop}
  annotations: {shop: open, checksum/config: theirs}
spec:
  initContainers:
    - name: migrate
      image: {{ .Values.image }}
      args: [migrate]
  containers:
    - name: shop
      image: {{ .Values.image }}
      ports:
        - containerPort: 3000
        # Beside the sidecar's 9090 of TCP.
        - containerPort: 9090
          name: statsd
          protocol: UDP
      volumeMounts:
        - name: cache
          mountPath: /cache
  volumes:
    - name: cache
      emptyDir: {}
{{- end }}
