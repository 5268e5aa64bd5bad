// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Prompts before caches with policies.
class LanguageModelSessionTest {
  private static final int PROMPT = 12;
  private static final int LONGEST = 20;

  private static LanguageModelSession session(String mixer) {
    LayerOptions options =
        LayerOptions.of(Map.of("heads", "2", "kv_heads", "1", "layers", "2", "positions", "rope"))
            .with("mixer.0", mixer)
            .with("mixer.1", mixer);
    ModelSizes sizes = ModelSizes.of(Map.of("width", "8", "vocabulary", "11"));
    Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes, 1);
    return new LanguageModelSession(options, parameters, 2, LONGEST, 1);
  }

  private static int[] token(int t) {
    return new int[] {t * t % 11, (3 * t + 1) % 11};
  }

  private static int[][] prompt() {
    int[][] prompt = new int[PROMPT][];
    Arrays.setAll(prompt, LanguageModelSessionTest::token);
    return prompt;
  }

  /// Logits after the prompt, and after every token behind it.
  private static float[][] logits(LanguageModelSession session) {
    float[][] logits = new float[LONGEST - PROMPT + 1][];
    logits[0] = session.read(prompt()).data().clone();
    for (int t = PROMPT; t < LONGEST; t++) {
      logits[t - PROMPT + 1] = session.step(token(t)).data().clone();
    }
    return logits;
  }

  private static double apart(float[] a, float[] b) {
    double most = 0;
    for (int i = 0; i < a.length; i++) {
      most = Math.max(most, Math.abs((double) a[i] - b[i]));
    }
    return most;
  }

  /// The prompt is exact attention whatever stays of it. Logits are of the order of one, and
  /// float32 sums of a few dozen products.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "streaming_llm",
        "h2o",
        "observed_attention",
        "tova",
        "snapkv",
        "pyramidkv",
        "knorm",
        "keydiff",
        "expected_attention"
      })
  void aPolicySeesTheWholePromptAndDropsAtItsEnd(String policy) {
    boolean looksBack = policy.equals("snapkv") || policy.equals("pyramidkv");
    String setting =
        "tiled:cache=" + policy + (looksBack ? ",observation_window=2" : "") + ",budget=";
    float[][] exact = logits(session("tiled"));
    float[][] whole = logits(session(setting + LONGEST));
    LanguageModelSession small = session(setting + 5);
    float[][] few = logits(small);
    assertEquals(0, apart(exact[0], few[0]), 1e-5);
    for (int t = 0; t < exact.length; t++) {
      assertEquals(0, apart(exact[t], whole[t]), 1e-5, "token " + t);
    }
    assertTrue(apart(exact[1], few[1]) > 1e-4, "the first token after the prompt");
    small.reset();
    assertArrayEquals(few, logits(small));
  }

  /// Two blocks, one key/value head of width four, two sequences: 32 bytes a token of keys and
  /// values in each.
  @Test
  void bytesAreThoseOfTheWholePromptUntilItsEnd() {
    LanguageModelSession session = session("tiled:cache=tova,budget=5");
    session.read(prompt());
    assertEquals(5 * 2 * 2 * 32, session.stateBytes());
    session.step(token(PROMPT));
    assertEquals(5 * 2 * 2 * 32, session.stateBytes());
  }

  @Test
  void aPromptComesFirstAndFits() {
    LanguageModelSession session = session("tiled");
    int[][] longer = new int[LONGEST + 1][2];
    assertThrows(IllegalStateException.class, () -> session.read(longer));
    session.step(token(0));
    assertThrows(IllegalStateException.class, () -> session.read(prompt()));
  }

  @Test
  void pyramidsKnowTheirBlock() {
    String pyramid = "tiled:cache=pyramidkv,budget=64";
    assertEquals(pyramid + ",layer=1,layers=4", Mechanisms.inBlock(pyramid, 1, 4));
    String said = pyramid + ",layer=0,layers=2";
    assertEquals(said, Mechanisms.inBlock(said, 1, 4));
    assertEquals(pyramid, Mechanisms.inBlock(pyramid, 0, 1));
    assertEquals("lstm", Mechanisms.inBlock("lstm", 0, 4));
    assertEquals("tiled:cache=h2o", Mechanisms.inBlock("tiled:cache=h2o", 0, 4));
    assertFalse(Mechanisms.inBlock(pyramid, 0, 4).equals(Mechanisms.inBlock(pyramid, 3, 4)));
  }
}
