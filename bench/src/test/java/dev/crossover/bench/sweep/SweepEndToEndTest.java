// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Memory;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Sweep.Effort;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A real sweep of tiny points in real forks.
class SweepEndToEndTest {
  private static final Effort SHORT = new Effort(1, new Forks.Settings(1, 2, 10));

  @TempDir Path folder;

  /// Decoding over a compressed cache has an error of its own, and fewer bytes.
  @Test
  void compressedCachesHaveTheirOwnErrorAndBytes() throws IOException {
    Path file = folder.resolve("caches.jsonl");
    SweepRunner.Summary summary =
        run(
            file,
            Study.DECODE,
            List.of("tiled", "tiled:store=int8", "tiled:cache=streaming_llm,budget=40"),
            List.of(96),
            "captured");
    assertEquals(3, summary.count(Status.OK), summary.toString());
    ResultRecord exact = record(summary, "tiled");
    ResultRecord bytes = record(summary, "tiled:store=int8");
    ResultRecord streaming = record(summary, "tiled:cache=streaming_llm,budget=40");
    assertNull(exact.error());
    double rounded = bytes.error().relativeFrobenius();
    double dropped = streaming.error().relativeFrobenius();
    assertTrue(rounded > 1e-5 && rounded < 0.05, "int8: " + rounded);
    assertTrue(dropped > rounded && dropped < 1.5, "streaming: " + dropped);
    assertEquals(32, bytes.error().rows());
    assertTrue(3 * bytes.memory().stateBytes() < exact.memory().stateBytes());
    assertTrue(2 * streaming.memory().stateBytes() < exact.memory().stateBytes());
  }

  private static ResultRecord record(SweepRunner.Summary summary, String spec) {
    return summary.records().stream().filter(r -> r.spec().equals(spec)).findFirst().orElseThrow();
  }

  @Test
  void recordHoldsTimeMemoryAndErrorOfARealFork() throws IOException {
    Path file = folder.resolve("results.jsonl");
    SweepRunner.Summary summary =
        run(
            file,
            Study.FORWARD,
            List.of("tiled", "linear_transformer"),
            List.of(48, 96),
            "captured");
    assertEquals(4, summary.count(Status.OK), summary.toString());
    assertEquals(4, ResultFile.read(file).records().size());
    for (ResultRecord record : summary.records()) {
      assertEquals(1, record.forks());
      assertEquals(2, record.time().samples().getFirst().size());
      assertTrue(record.time().median() > 0);
      Memory memory = record.memory();
      assertTrue(memory.countedScratchBytes() > 0);
      assertNotNull(memory.allocatedBytesPerCall());
      assertNotNull(record.peak());
      assertTrue(record.peak().gflops() > 0.1);
      assertNotNull(record.input().entropy());
      assertTrue(record.environment().jvmFlags().contains("-Xmx"));
    }
    ResultRecord tiled = summary.records().getFirst();
    assertEquals(48, tiled.shape().n());
    double rounding = tiled.error().relativeFrobenius();
    assertTrue(rounding > 0 && rounding < 1e-5, "against double precision: " + rounding);
    assertEquals(48, tiled.error().rows(), "all of a short sequence");
    assertNull(tiled.memory().peakResidentBytes(), "that of the whole process");
    assertTrue(tiled.memory().firstCallBytes() >= 0);
    assertTrue(tiled.memory().constructionBytes() >= tiled.memory().countedScratchBytes());
    ResultRecord.Conditions fork = tiled.time().conditions().getFirst();
    assertEquals(2, fork.lengths());
    assertEquals(fork.peak().median(), tiled.peak().gflops());
    assertEquals(2, tiled.shape().heads());
    assertEquals(64, tiled.shape().headDim());
    assertEquals("causal", tiled.mask());
  }

  @Test
  void lengthsMeasuredInOneProcessGetTheirOwnSamplesAndRefusals() throws IOException {
    Path file = folder.resolve("results.jsonl");
    SweepRunner.Summary summary =
        run(file, Study.FORWARD, List.of("nystromformer:landmarks=32"), List.of(16, 64, 4096));
    ResultRecord refused = summary.records().getFirst();
    if (refused.status() != Status.OK) {
      assertEquals(Status.SKIPPED, refused.status(), refused.toString());
    }
    ResultRecord small = summary.records().get(1);
    ResultRecord large = summary.records().get(2);
    assertEquals(2, small.time().samples().getFirst().size());
    assertEquals(2, large.time().samples().getFirst().size());
    assertTrue(large.counted().flops() > small.counted().flops());
  }

  @Test
  void pointMeasuredAloneKnowsItsResidentSet() throws IOException {
    Sweep one = sweep(Study.FORWARD, List.of("tiled"), List.of(64), "gaussian:scale=1");
    SweepPlan alone = new SweepPlan(List.of(one), one.effort(), 0, 1, true);
    ResultRecord record =
        new SweepRunner(alone, new JmhForks(), new Progress(new StringBuilder(), false), null)
            .run(folder.resolve("results.jsonl"))
            .records()
            .getFirst();
    assertEquals(1, record.time().conditions().getFirst().lengths());
    if (Files.isReadable(Path.of("/proc/self/status"))) {
      assertTrue(record.memory().peakResidentBytes() >= record.memory().baselineResidentBytes());
    }
  }

  @Test
  void decodingTellsTokensPerSecondAndState() throws IOException {
    Path file = folder.resolve("results.jsonl");
    SweepRunner.Summary summary =
        run(file, Study.DECODE, List.of("linear_transformer"), 40, "gaussian:scale=1");
    assertEquals(1, summary.count(Status.OK), summary.toString());
    ResultRecord record = summary.records().getFirst();
    assertEquals(1 / record.time().median(), record.time().tokensPerSecond(), 1e-6);
    assertTrue(record.memory().stateBytes() > 0);
    assertNull(record.error());
  }

  @Test
  void trainingTellsWhatIsKeptAndTheErrorOfEveryGradient() throws IOException {
    Path file = folder.resolve("results.jsonl");
    SweepRunner.Summary summary =
        run(
            file,
            Study.TRAINING,
            List.of("tiled", "longformer:window=4", "layer/tiled"),
            List.of(40, 80),
            "gaussian:scale=1");
    assertEquals(4, summary.count(Status.OK), summary.toString());
    assertEquals(2, summary.count(Status.SKIPPED), "layers have no gradients");
    ResultRecord tiled = summary.records().getFirst();
    assertTrue(tiled.error().relativeFrobenius() < 1e-5, tiled.error().toString());
    assertEquals(2 * 40 * Float.BYTES, tiled.memory().keptBytes(), "a log-sum-exp for every row");
    ResultRecord window = summary.records().get(2);
    ResultRecord.GradientNorms errors = window.error().gradients();
    assertTrue(errors.query() > 0.01 && errors.key() > 0.01 && errors.value() > 0.01);
    assertTrue(
        tiled.counted().flops() > 3 * 4 * 40 * 41 / 2 * 64 * 2, "more than the forward pass");
    assertTrue(
        ResultFile.read(file).records().stream().anyMatch(r -> window.error().equals(r.error())));
  }

  private static SweepRunner.Summary run(
      Path file, Study study, List<String> specs, int n, String input) throws IOException {
    return run(file, study, specs, List.of(n), input);
  }

  private static SweepRunner.Summary run(
      Path file, Study study, List<String> specs, List<Integer> lengths) throws IOException {
    return run(file, study, specs, lengths, "gaussian:scale=1");
  }

  private static SweepRunner.Summary run(
      Path file, Study study, List<String> specs, List<Integer> lengths, String input)
      throws IOException {
    return new SweepRunner(
            sweep(study, specs, lengths, input),
            new JmhForks(),
            new Progress(new StringBuilder(), false))
        .run(file);
  }

  private static Sweep sweep(Study study, List<String> specs, List<Integer> lengths, String input) {
    Sweep d = Sweep.defaults(1);
    return new Sweep(
        List.of(study),
        specs,
        lengths,
        d.dims(),
        d.heads(),
        d.batches(),
        d.masks(),
        d.threads(),
        List.of(input),
        d.seeds(),
        SHORT,
        0,
        1);
  }
}
