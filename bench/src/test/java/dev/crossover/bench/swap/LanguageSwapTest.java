// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.OtherProcesses;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.swap.LanguageSwapRecord.Status;
import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import dev.crossover.models.layer.Ablation;
import dev.crossover.models.model.LanguageModelSession;
import dev.crossover.models.pretrained.Digest;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The study on a model of two small blocks, a few steps old.
class LanguageSwapTest {
  private static final LanguageSwapBudget NONE = new LanguageSwapBudget(0, 0, 0, 2, 32);

  @TempDir private static Path folder;
  private static Path text = Path.of("");
  private static Path weights = Path.of("");

  @BeforeAll
  static void train() throws IOException {
    text = SmallByteModel.text();
    weights = SmallByteModel.trained(folder, text, Map.of());
  }

  private static PretrainedModel model() throws IOException {
    return PretrainedModel.load(weights.toString());
  }

  private static byte[] heldOut() {
    return new Bytes(2, text.toString(), Bytes.Part.HELD_OUT).ofPart();
  }

  private static LanguageSwapStudy study(int windows) throws IOException {
    return new LanguageSwapStudy(model().model(), heldOut(), List.of(32, 64), windows, 1);
  }

  private static LanguageSwapRunner runner(LanguageSwapBudget budget, List<String> told)
      throws IOException {
    return runner(budget, Jobs.here(1), told);
  }

  private static LanguageSwapRunner runner(LanguageSwapBudget budget, Jobs jobs, List<String> told)
      throws IOException {
    String model = weights.toString();
    return new LanguageSwapRunner(
        model, text.toString(), List.of(32, 64), 3, budget, jobs, told::add);
  }

  /// Windows lie over the whole held-out part and ask their second halves: token by token the
  /// model's own session gives the same bits.
  @Test
  void bitsAreThoseOfTheSecondHalvesOfWindowsReadAlone() throws IOException {
    byte[] held = heldOut();
    double[] bits = study(2).original(32);
    assertEquals(2, bits.length);
    for (int w = 0; w < 2; w++) {
      int from = w == 0 ? 0 : held.length - 33;
      LanguageModelSession session =
          new LanguageModelSession(
              model().model().layers(), model().model().parameters(), 1, 32, 1);
      double sum = 0;
      for (int t = 0; t < 32; t++) {
        float[] logits = session.step(new int[] {held[from + t] & 0xff}).data();
        if (t >= 16) {
          double total = 0;
          for (float logit : logits) {
            total += Math.exp(logit);
          }
          sum += (Math.log(total) - logits[held[from + t + 1] & 0xff]) / Math.log(2);
        }
      }
      assertEquals(sum / 16, bits[w], 1e-5, "window " + w);
    }
  }

  /// With its compression and window off, and all blocks selected, NSA is exact attention times a
  /// gate, which starts near one half: its logits deviate by 0.02 times the root of 16 inputs, so
  /// that three deviations of the gate are 0.06. Without any branch nothing is left.
  @Test
  void branchesOfNsaAreSwitchedOffAtTheirGates() throws IOException {
    LanguageSwapStudy study = study(1);
    String all = "nsa:block_size=4,num_selected_blocks=16,window_size=4";
    String one = all + "+off=compression+off=window";
    for (double error : study.errors(study.swap(one), 64)) {
      assertEquals(0.5, error, 0.06);
    }
    for (double error : study.errors(study.swap(one + "+off=selection"), 64)) {
      assertEquals(1, error);
    }
    double whole = study.errors(study.swap(all), 64)[0];
    double without = study.errors(study.swap(all + "+off=selection"), 64)[0];
    assertTrue(Math.abs(whole - without) > 1e-3, "the branch did something");
    assertThrows(IllegalArgumentException.class, () -> study.swap(all + "+off=sinks"));
  }

  /// A branch that a parameter switches off is the mechanism at that parameter.
  @Test
  void switchedOffBranchesAreRowsOfTheirOwn() throws IOException {
    Path file = folder.resolve("ablated.jsonl");
    String own = "block_topk:block_size=4,top_k=1,sink_tokens=2";
    List<String> settings = new ArrayList<>(List.of(own));
    settings.addAll(Ablation.each(own));
    settings.add("block_topk:block_size=4,top_k=1");
    assertEquals(own + "+off=sinks", settings.get(2));
    LanguageSwapBudget budget = new LanguageSwapBudget(1, 1, 1, 2, 32);
    List<LanguageSwapRecord> records = runner(budget, new ArrayList<>()).run(file, settings);
    assertEquals(12, records.size());
    for (int treatment = 0; treatment < 3; treatment++) {
      LanguageSwapRecord off = records.get(4 * treatment + 2);
      assertEquals(own + "+off=sinks", off.setting());
      assertEquals(records.get(4 * treatment + 3).bits(), off.bits());
      assertNotEquals(records.get(4 * treatment).bits(), off.bits());
    }
  }

  @Test
  void windowsDoNotOverlapAndTooLongOnesAreRefused() throws IOException {
    int most = (heldOut().length - 1) / 64;
    assertEquals(most, study(1000).windows(64));
    List<Integer> longer = List.of(heldOut().length);
    assertThrows(
        IllegalArgumentException.class,
        () -> new LanguageSwapStudy(model().model(), heldOut(), longer, 1, 1));
  }

  @Test
  void anExactMechanismPassesTheCheckAndAnotherFailsIt() throws IOException {
    LanguageSwapStudy study = study(2);
    study.check(32);
    double[] original = study.original(32);
    double[] none = new double[2];
    double[] other = {original[0], original[1] + 1e-3};
    String message =
        String.valueOf(
            assertThrows(
                    IllegalStateException.class,
                    () -> LanguageSwapStudy.requireExact(original, other, none))
                .getMessage());
    assertTrue(message.contains("must give the original's bits per byte"), message);
    double[] wrong = {0, 1e-3};
    assertThrows(
        IllegalStateException.class,
        () -> LanguageSwapStudy.requireExact(original, original, wrong));
  }

  @Test
  void everyTreatmentEndsAsARecordAndIsNotDoneTwice() throws IOException {
    Path file = folder.resolve("language-swap.jsonl");
    List<String> told = new ArrayList<>();
    LanguageSwapBudget budget = new LanguageSwapBudget(3, 2, 2, 2, 32);
    List<String> settings = List.of("tiled", "hedgehog", "linformer");
    List<LanguageSwapRecord> records = runner(budget, told).run(file, settings);
    assertEquals(9, records.size());
    for (LanguageSwapRecord record : records) {
      boolean refused = record.setting().equals("linformer");
      assertEquals(refused ? Status.REFUSED : Status.DONE, record.status(), record.reason());
      record.requireComplete();
    }
    assertTrue(records.get(2).reason().contains("linformer"), records.get(2).reason());
    LanguageSwapRecord exact = records.getFirst();
    assertEquals(0, exact.meanLoss(1), 1e-7);
    assertEquals(0, exact.meanError(1), 1e-7);
    assertEquals(1, exact.work().getFirst());
    assertEquals(64L * 2 * 2 * 16 * Float.BYTES, exact.stateBytes(), "keys, values, two blocks");
    LanguageSwapRecord fitted = records.get(4);
    assertEquals(Treatment.TRANSFERRED, fitted.treatment());
    assertTrue(fitted.loss() != null && fitted.loss() > 0);
    assertTrue(fitted.budget().startsWith("transfer 3, tune 2 steps"), fitted.budget());
    LanguageSwapRecord fresh = records.get(7);
    assertEquals(Treatment.SCRATCH, fresh.treatment());
    assertTrue(Double.isNaN(fresh.meanError(0)) && fresh.meanBits(0) > 0);

    Files.writeString(file, "{\"kind\":\"language_sw", StandardOpenOption.APPEND);
    told.clear();
    List<String> more = new ArrayList<>(settings);
    more.add("longformer:window=4");
    assertEquals(12, runner(budget, told).run(file, more).size());
    assertEquals(3, told.stream().filter(line -> line.matches("\\d/3 .*")).count(), "" + told);
    told.clear();
    assertEquals(records.getFirst(), runner(budget, told).run(file, settings).getFirst());
    assertTrue(told.stream().noneMatch(line -> line.contains("reading")), told.toString());
    assertEquals(12, LanguageSwapRunner.read(file, new ArrayList<>()).size());
  }

  @Test
  void recordsDoNotTellWhereOrInWhichOrderTheyWereComputed() throws IOException {
    LanguageSwapBudget budget = new LanguageSwapBudget(3, 2, 2, 2, 32);
    List<String> settings = List.of("tiled", "hedgehog", "performer", "linformer");
    Path here = folder.resolve("here.jsonl");
    Path there = folder.resolve("there.jsonl");
    runner(budget, Jobs.here(1), new ArrayList<>()).run(here, settings);
    runner(budget, new OtherProcesses(2), new ArrayList<>()).run(there, settings);
    assertEquals(12, Files.readAllLines(here).size());
    assertEquals(Files.readString(here), Files.readString(there));
  }

  private static LanguageSwapJob job(String digest, String textDigest, long memory)
      throws IOException {
    byte[] learned = new Bytes(2, text.toString(), Bytes.Part.TRAINING).ofPart();
    String sum = Digest.of(learned);
    return new LanguageSwapJob(
        weights.toString(),
        digest,
        text.toString(),
        textDigest,
        sum,
        List.of(32),
        1,
        NONE,
        memory,
        1,
        "commit");
  }

  @Test
  void otherWeightsOrAnotherTextAreNotTheStudys() throws IOException {
    String right = model().digest();
    String point = job(right, "", 0).point("tiled", Treatment.AS_IS).text();
    LanguageSwapJob weightless = job("0123", Digest.of(heldOut()), 1 << 30);
    String told =
        String.valueOf(
            assertThrows(IOException.class, () -> weightless.compute(point)).getMessage());
    assertTrue(told.contains("weights must be those of the study (0123)"), told);
    LanguageSwapJob textless = job(right, "4567", 1 << 30);
    told =
        String.valueOf(assertThrows(IOException.class, () -> textless.compute(point)).getMessage());
    assertTrue(told.contains("text must be those of the study (4567)"), told);
  }

  /// The limit is the job's, so that the same is refused everywhere; a process that has less than
  /// the limit permits does not answer.
  @Test
  void memoryIsLimitedByTheJobAlone() throws IOException {
    String held = Digest.of(heldOut());
    LanguageSwapJob small = job(model().digest(), held, 100);
    String point = small.point("tiled", Treatment.AS_IS).text();
    LanguageSwapRecord refused = RecordJson.read(small.compute(point), LanguageSwapRecord.class);
    assertEquals(Status.REFUSED, refused.status());
    assertTrue(refused.reason().contains("at most a third of the memory"), refused.reason());
    LanguageSwapJob large = job(model().digest(), held, Long.MAX_VALUE);
    LanguageSwapStudy study = study(1);
    String told =
        String.valueOf(
            assertThrows(IOException.class, () -> large.requireMemory(study, "tiled", 32, 100))
                .getMessage());
    assertTrue(told.contains("that of the one that asks, or more"), told);
    LanguageSwapRecord done = RecordJson.read(large.compute(point), LanguageSwapRecord.class);
    assertEquals(Status.DONE, done.status());
  }

  @Test
  void threadsChangeNoBit() throws IOException {
    double[][] found = new double[2][];
    for (int threads = 1; threads <= 2; threads++) {
      LanguageSwapStudy study =
          new LanguageSwapStudy(model().model(), heldOut(), List.of(64), 2, threads);
      var swap = study.swap("longformer:window=4");
      double[] errors = study.errors(swap, 64);
      double[] bits = study.bits(swap.layers(), swap.parameters(), 64);
      found[threads - 1] = new double[] {errors[0], errors[1], bits[0], bits[1]};
    }
    assertArrayEquals(found[0], found[1]);
  }

  @Test
  void aDryRunTellsTimesAndRefusals() throws IOException {
    long[] clock = {0};
    List<LanguageSwapRunner.Forecast> forecasts =
        runner(NONE, new ArrayList<>())
            .forecast(List.of("tiled", "linformer"), () -> clock[0] += 1_000_000_000);
    assertTrue(forecasts.getFirst().seconds() > 1, forecasts.toString());
    assertTrue(forecasts.getLast().refusal().contains("linformer"), forecasts.toString());
    assertTrue(LanguageSwapRunner.everyCausal().contains("gla"));
    assertTrue(!LanguageSwapRunner.everyCausal().contains("linformer"));
  }

  @Test
  void budgetsAreChecked() {
    assertEquals(List.of(Treatment.AS_IS), NONE.treatments());
    assertThrows(IllegalArgumentException.class, () -> new LanguageSwapBudget(-1, 0, 0, 1, 2));
    assertThrows(IllegalArgumentException.class, () -> new LanguageSwapBudget(0, 0, 0, 0, 2));
    assertThrows(IllegalArgumentException.class, () -> new LanguageSwapBudget(0, 0, 0, 1, 1));
  }
}
