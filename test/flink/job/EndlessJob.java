import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** An unbounded job that reads ten numbers per second and drops them. */
public final class EndlessJob {
    private EndlessJob() {}

    public static void main(String[] args) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        environment.fromSequence(0, Long.MAX_VALUE).filter(EndlessJob::drop).print();
        environment.execute("endless");
    }

    private static boolean drop(Long number) throws InterruptedException {
        Thread.sleep(100);
        return false;
    }
}
