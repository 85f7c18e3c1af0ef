#!/bin/bash
# The script of Flink's image, on loopback and with free ports.
exec java $FLINK_JAVA "-Dlog4j.configurationFile=file:$FLINK_CONF_DIR/log4j-console.properties" -cp "$FLINK_CLASSPATH" \
    org.apache.flink.kubernetes.taskmanager.KubernetesTaskExecutorRunner --configDir "$FLINK_CONF_DIR" "$@" \
    -D taskmanager.host=127.0.0.1 -D taskmanager.bind-host=127.0.0.1 -D taskmanager.rpc.port=0 -D taskmanager.data.port=0
