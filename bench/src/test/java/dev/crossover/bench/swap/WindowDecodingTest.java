// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.store.CachePolicies;
import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.OtherProcesses;
import dev.crossover.bench.swap.LanguageSwapRecord.Status;
import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.LanguageModelSession;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.MechanismSwap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Stores and policies of caches in the study of a language model: its windows are decoded.
///
/// Sums in another order move a logit of this model, and a loss, by less than 1e-5.
class WindowDecodingTest {
  private static final double SAME = 1e-5;
  private static final int N = 64;
  private static final int WINDOWS = 3;

  @TempDir private static Path folder;
  private static Path text = Path.of("");
  private static Path weights = Path.of("");
  private static Path rotated = Path.of("");

  @BeforeAll
  static void train() throws IOException {
    text = SmallByteModel.text();
    weights = SmallByteModel.trained(folder, text, Map.of("positions", "sinusoidal"));
    rotated = SmallByteModel.trained(folder, text, Map.of("positions", "rope"));
  }

  private static Bytes heldOut() {
    return new Bytes(2, text.toString(), Bytes.Part.HELD_OUT);
  }

  private static LanguageSwapStudy study(Path of) throws IOException {
    return new LanguageSwapStudy(
        PretrainedModel.load(of.toString()).model(), heldOut().ofPart(), List.of(N), WINDOWS, 1);
  }

  private static LanguageSwapRunner runner(LanguageSwapBudget budget) throws IOException {
    return runner(budget, Jobs.here(1));
  }

  private static LanguageSwapRunner runner(LanguageSwapBudget budget, Jobs jobs)
      throws IOException {
    return new LanguageSwapRunner(
        weights.toString(), text.toString(), List.of(32, N), WINDOWS, budget, jobs, _ -> {});
  }

  private static double[] decoded(LanguageSwapStudy study, String setting) {
    MechanismSwap swap = study.swap(setting);
    return study.decoded(swap.layers(), swap.parameters(), N).bits();
  }

  private static Stream<String> policies() {
    return CachePolicies.all().stream().map(RecordType::name);
  }

  private static String setting(String policy, int budget) {
    boolean looksBack = policy.equals("snapkv") || policy.equals("pyramidkv");
    String more =
        looksBack
            ? ",observation_window=4"
            : policy.equals("quest") ? ",page_size=1,minimum_pages=1" : "";
    return "tiled:cache=" + policy + ",budget=" + budget + more;
  }

  @ParameterizedTest
  @MethodSource("policies")
  void aBudgetThatHoldsEverythingLosesNothingAndASmallOneShows(String policy) throws IOException {
    for (Path model : List.of(weights, rotated)) {
      LanguageSwapStudy study = study(model);
      double[] original = study.original(N);
      double[] whole = decoded(study, setting(policy, N));
      double[] few = decoded(study, setting(policy, 8));
      assertEquals(WINDOWS, whole.length);
      assertEquals(WINDOWS, few.length);
      double most = 0;
      for (int w = 0; w < WINDOWS; w++) {
        assertEquals(original[w], whole[w], SAME, "window " + w);
        most = Math.max(most, Math.abs(original[w] - few[w]));
      }
      assertTrue(most > 10 * SAME, "largest difference " + most);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"f32", "f16", "bf16", "int8", "int8_grouped/8", "int4_grouped/8"})
  void storesComeAsCloseAsTheirNumbers(String store) throws IOException {
    LanguageSwapStudy study = study(rotated);
    double[] original = study.original(N);
    double[] bits = decoded(study, "tiled:store=" + store);
    for (int w = 0; w < WINDOWS; w++) {
      double far = Math.abs(bits[w] - original[w]);
      assertTrue(store.equals("f32") ? far < SAME : far > 0, "window " + w + ": " + far);
      assertTrue(far < 0.1, "window " + w + ": " + far);
    }
  }

  /// Windows decoded side by side are what each alone is: its first half a prompt, the other half
  /// token by token.
  @ParameterizedTest
  @MethodSource("policies")
  void everyWindowIsDecodedAlone(String policy) throws IOException {
    LanguageSwapStudy study = study(weights);
    byte[] held = heldOut().ofPart();
    MechanismSwap swap = study.swap(setting(policy, 8));
    double[] bits = study.decoded(swap.layers(), swap.parameters(), N).bits();
    for (int w = 0; w < WINDOWS; w++) {
      int from = w * (held.length - N - 1) / (WINDOWS - 1);
      LanguageModelSession session =
          new LanguageModelSession(swap.layers(), swap.parameters(), 1, N, 1);
      int[][] prompt = new int[N / 2][];
      for (int t = 0; t < N / 2; t++) {
        prompt[t] = new int[] {held[from + t] & 0xff};
      }
      session.read(prompt);
      double sum = 0;
      for (int t = N / 2; t < N; t++) {
        float[] logits = session.step(new int[] {held[from + t] & 0xff}).data();
        double total = 0;
        for (float logit : logits) {
          total += Math.exp(logit);
        }
        sum += Math.log(total) - logits[held[from + t + 1] & 0xff];
      }
      assertEquals(sum / (N / 2) / Math.log(2), bits[w], SAME, "window " + w);
    }
  }

  @Test
  void aRecordHasEveryWindowAndTheStateAndLearnsNothing() throws IOException {
    List<String> settings = List.of(setting("h2o", N), setting("h2o", 8), "tiled");
    List<LanguageSwapRecord> records =
        runner(new LanguageSwapBudget(0, 1, 0, 2, 32))
            .run(folder.resolve("caches.jsonl"), settings);
    LanguageSwapRecord whole = records.getFirst();
    LanguageSwapRecord few = records.get(1);
    assertEquals(Treatment.DECODED, whole.treatment());
    assertEquals(Treatment.AS_IS, records.get(2).treatment());
    assertEquals(WINDOWS, few.bits().getFirst().size());
    assertEquals(0, whole.meanLoss(1), SAME);
    assertTrue(few.halfLoss(1) > 0);
    assertEquals(records.get(2).stateBytes(), whole.stateBytes());
    assertEquals(records.get(2).stateBytes() / 8, few.stateBytes(), "8 of 64 positions");
    assertTrue(Double.isNaN(few.meanError(0)));
    LanguageSwapRecord learning = records.get(3);
    assertEquals(Status.REFUSED, learning.status());
    assertTrue(learning.reason().contains("cache must be absent"), learning.reason());
  }

  @Test
  void recordsDoNotTellWhereTheyWereDecoded() throws IOException {
    List<String> settings = List.of(setting("h2o", 8), "tiled", "tiled:store=int8");
    LanguageSwapBudget none = new LanguageSwapBudget(0, 0, 0, 2, 32);
    Path here = folder.resolve("here.jsonl");
    Path there = folder.resolve("there.jsonl");
    runner(none).run(here, settings);
    runner(none, new OtherProcesses(2)).run(there, settings);
    assertEquals(3, Files.readAllLines(here).size());
    assertEquals(Files.readString(here), Files.readString(there));
  }

  @Test
  void theListOfCachesHasEveryPolicyAtEveryBudget() {
    List<String> caches = LanguageSwapRunner.caches();
    assertEquals(5 + 3 * CachePolicies.all().size(), caches.size());
    caches.forEach(Mechanisms::parse);
    assertTrue(caches.contains("tiled:cache=quest,budget=256"), caches.toString());
    assertTrue(caches.contains("tiled:store=int4_grouped"), caches.toString());
  }

  @Test
  void aWholeCachePassesTheCheckAndAnotherFailsItByName() throws IOException {
    LanguageSwapStudy study = study(rotated);
    study.checkDecoding(N);
    double[] original = study.original(N);
    double[] one = {original[0]};
    double[] other = original.clone();
    other[2] += 1e-3;
    for (double[] wrong : List.of(one, other, decoded(study, setting("tova", 8)))) {
      IllegalStateException failure =
          assertThrows(
              IllegalStateException.class, () -> LanguageSwapStudy.requireDecoded(original, wrong));
      assertTrue(
          String.valueOf(failure.getMessage()).startsWith("a whole cache in single precision"),
          failure.getMessage());
    }
  }

  /// Every interval of the clock takes a second: 32 steps, or one compression. Of n = 32: a second
  /// of the model's steps, and in each of two blocks half a second before and after the prompt's
  /// end and one at it; of 64 twice as many steps.
  @Test
  void aDryRunPricesDecodingByItsTokens() throws IOException {
    long[] clock = {0};
    List<LanguageSwapRunner.Forecast> forecasts =
        runner(new LanguageSwapBudget(0, 0, 0, 2, 32))
            .forecast(
                List.of("tiled:cache=tova,budget=8", setting("snapkv", 8), "tiled:store=int8"),
                () -> clock[0] += 1_000_000_000);
    assertEquals((1 + 2 * 2) + (2 + 2 * 3), forecasts.getFirst().seconds(), 1e-9);
    assertEquals(forecasts.getFirst().seconds(), forecasts.get(1).seconds(), 1e-9);
    assertEquals((1 + 2) + (2 + 2 * 2), forecasts.getLast().seconds(), 1e-9);
  }
}
