#!/bin/bash
# The script of Flink's image, with the memory sizes that it computes for 1600m.
case $1 in
kubernetes-session) class=org.apache.flink.kubernetes.entrypoint.KubernetesSessionClusterEntrypoint ;;
kubernetes-application) class=org.apache.flink.kubernetes.entrypoint.KubernetesApplicationClusterEntrypoint ;;
*) echo "unknown entry point: $1" >&2 && exit 1 ;;
esac
shift
exec java $FLINK_JAVA "-Dlog4j.configurationFile=file:$FLINK_CONF_DIR/log4j-console.properties" -cp "$FLINK_CLASSPATH" $class "$@" \
    -D jobmanager.memory.off-heap.size=134217728b -D jobmanager.memory.jvm-overhead.min=201326592b -D jobmanager.memory.jvm-metaspace.size=268435456b \
    -D jobmanager.memory.heap.size=1073741824b -D jobmanager.memory.jvm-overhead.max=201326592b
