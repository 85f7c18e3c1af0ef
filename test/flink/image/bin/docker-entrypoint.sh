#!/bin/bash
# The entry point of Flink's image: the first argument is a role or a command. Package
# image handles FLINK_PROPERTIES.
role=$1
case $role in
jobmanager) class=org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint ;;
standalone-job) class=org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint ;;
taskmanager) class=org.apache.flink.runtime.taskexecutor.TaskManagerRunner ;;
*) exec "$@" ;;
esac
shift
args=()
if [ "$role" = taskmanager ]; then # taskmanager.sh computes the sizes
    args=(-D taskmanager.cpu.cores=1.0 -D taskmanager.memory.task.heap.size=268435456b -D taskmanager.memory.task.off-heap.size=0b
        -D taskmanager.memory.framework.heap.size=134217728b -D taskmanager.memory.framework.off-heap.size=134217728b
        -D taskmanager.memory.network.min=67108864b -D taskmanager.memory.network.max=67108864b -D taskmanager.memory.managed.size=134217728b
        -D taskmanager.memory.jvm-metaspace.size=268435456b -D taskmanager.memory.jvm-overhead.min=201326592b -D taskmanager.memory.jvm-overhead.max=201326592b
        -D taskmanager.host=127.0.0.1 -D taskmanager.bind-host=127.0.0.1 -D taskmanager.rpc.port=0 -D taskmanager.data.port=0)
fi
exec java $FLINK_JAVA "-Dlog4j.configurationFile=file:$FLINK_CONF_DIR/log4j-console.properties" -cp "$FLINK_CLASSPATH" $class \
    --configDir "$FLINK_CONF_DIR" "$@" "${args[@]}"
