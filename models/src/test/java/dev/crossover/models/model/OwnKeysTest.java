// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Mechanisms that layers make other queries, keys and values for than one of each per head:
/// differential and multi-head latent attention.
class OwnKeysTest {
  private static final int N = 12;
  private static final int VOCABULARY = 11;
  private static final String LATENT = "mla:kv_lora_rank=6,qk_rope_head_dim=2";

  private static LayerOptions options(String mixer, String... more) {
    LayerOptions options = LayerOptions.of(Map.of("heads", "2", "layers", "2"));
    for (int i = 0; i < more.length; i += 2) {
      options = options.with(more[i], more[i + 1]);
    }
    return options.with("mixer.0", mixer).with("mixer.1", mixer);
  }

  private static Parameters fresh(LayerOptions options) {
    ModelSizes sizes = ModelSizes.of(Map.of("width", "16", "vocabulary", "" + VOCABULARY));
    return Initialisation.of(
        ModelKind.LANGUAGE_MODEL, options, sizes.with("initialisation", "fan_in"), 3);
  }

  private static Batch batch() {
    int[] tokens = new int[2 * N];
    int[] labels = new int[2 * N];
    for (int i = 0; i < tokens.length; i++) {
      tokens[i] = i * i % VOCABULARY;
      labels[i] = (3 * i + i / 5) % VOCABULARY;
    }
    return Batch.of(tokens, labels);
  }

  private static Model plan(LayerOptions options, Parameters parameters, Purpose purpose) {
    return Model.plan(
        ModelKind.LANGUAGE_MODEL, options, parameters, ModelShape.of(2, N), purpose, 1);
  }

  /// The slope of the loss along the gradient of every tensor alone. The loss has an error of some
  /// 1e-7, so the quotient one of 1e-7 / h = 1e-4, and a share of h² for the curvature, which is
  /// large where rows are normalised.
  @ParameterizedTest
  @ValueSource(strings = {"differential", "differential:lambda_init=0.2", LATENT})
  void gradientsOfEveryTensorAreThoseOfCentralDifferences(String mixer) {
    LayerOptions options = options(mixer);
    Parameters parameters = fresh(options);
    Model model = plan(options, parameters, Purpose.TRAIN);
    model.loss(batch());
    model.backward();
    double h = 1e-3;
    for (Parameter parameter : parameters.trained()) {
      float[] gradient = parameter.gradient().data();
      double square = 0;
      for (float g : gradient) {
        square += (double) g * g;
      }
      double norm = Math.sqrt(square);
      assertTrue(norm > 0, parameter.name());
      double[] losses = new double[2];
      for (int side = 0; side < 2; side++) {
        Parameters moved = parameters.copy();
        float[] value = moved.get(parameter.name()).value().data();
        for (int i = 0; i < value.length; i++) {
          value[i] += (float) ((side == 0 ? h : -h) * gradient[i] / norm);
        }
        losses[side] = plan(options, moved, Purpose.EVALUATE).loss(batch());
      }
      double found = (losses[0] - losses[1]) / (2 * h);
      assertEquals(norm, found, 4e-3 * norm + 3e-4, parameter.name());
    }
  }

  @Test
  void everyTensorHasAPlaceInTheStore() {
    assertEquals(
        "key_weight lambda_k1 lambda_k2 lambda_q1 lambda_q2 norm_weight output_weight query_weight"
            + " value_weight",
        names("differential"));
    assertEquals(
        "key_rope_weight key_up latent_norm_weight latent_weight output_weight query_weight"
            + " value_up",
        names(LATENT));
    Parameters differential = fresh(options("differential", "kv_heads", "1"));
    assertArrayEquals(
        new int[] {16, 16}, differential.get("layers.1.mixer.query_weight").value().shape());
    assertArrayEquals(
        new int[] {8, 16}, differential.get("layers.1.mixer.key_weight").value().shape());
    assertArrayEquals(new int[] {4}, differential.get("layers.1.mixer.lambda_q1").value().shape());
    Parameters latent = fresh(options(LATENT));
    assertArrayEquals(
        new int[] {6, 16}, latent.get("layers.0.mixer.latent_weight").value().shape());
    assertArrayEquals(
        new int[] {2, 16}, latent.get("layers.0.mixer.key_rope_weight").value().shape());
    assertArrayEquals(new int[] {2, 6, 6}, latent.get("layers.0.mixer.key_up").value().shape());
  }

  private static String names(String mixer) {
    String prefix = "layers.0.mixer.";
    return fresh(options(mixer)).names().stream()
        .filter(name -> name.startsWith(prefix))
        .map(name -> name.substring(prefix.length()))
        .sorted()
        .collect(Collectors.joining(" "));
  }

  /// Float32 sums of a few dozen products; logits are of the order of one.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "differential",
        LATENT,
        LATENT + ",cache=tova,budget=12",
        LATENT + ",cache=snapkv,observation_window=2,budget=12"
      })
  void tokenByTokenIsTheWholeSequence(String mixer) {
    String core = mixer.replaceFirst(",cache=.*", "");
    Parameters parameters = fresh(options(core));
    int[] tokens = batch().tokens();
    float[] whole = plan(options(core), parameters, Purpose.LOGITS).logits(batch()).data();
    LanguageModelSession session = new LanguageModelSession(options(mixer), parameters, 2, N, 1);
    int[][] prompt = new int[N / 2][];
    for (int t = 0; t < N / 2; t++) {
      prompt[t] = new int[] {tokens[t], tokens[N + t]};
    }
    float[] logits = session.read(prompt).data();
    for (int t = N / 2; t <= N; t++) {
      for (int b = 0; b < 2; b++) {
        for (int c = 0; c < VOCABULARY; c++) {
          float expected = whole[(b * N + t - 1) * VOCABULARY + c];
          assertEquals(expected, logits[b * VOCABULARY + c], 5e-5, "token " + (t - 1));
        }
      }
      if (t < N) {
        logits = session.step(new int[] {tokens[t], tokens[N + t]}).data();
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"differential", "mla"})
  void theLossOfASmallTaskFalls(String mixer) {
    Task task = Tasks.parse("memorisation:n=8,vocab=8");
    Map<String, String> small =
        Map.of("width", "32", "heads", "2", "layers", "1", "batch", "16", "steps", "150");
    Recipe recipe = Recipe.of(task, mixer + "+lr=1e-2", small, task.positions());
    TaskTraining training = new TaskTraining(task, recipe, 1, 42, 1);
    double first = training.step();
    double last = first;
    for (int step = 1; step < 150; step++) {
      last = training.step();
    }
    assertTrue(last < first / 2, first + " and then " + last);
  }

  @Test
  void whatTheirPapersDoNotDefineIsRefusedByName() {
    List<String[]> refused =
        List.of(
            new String[] {LATENT, "positions", "rope"},
            new String[] {LATENT, "qk_norm", "l2"},
            new String[] {LATENT, "projection_activation", "silu"});
    for (String[] one : refused) {
      LayerOptions options = options(one[0], one[1], one[2]);
      Parameters parameters = fresh(options);
      IllegalArgumentException failure =
          assertThrows(
              IllegalArgumentException.class, () -> plan(options, parameters, Purpose.EVALUATE));
      assertTrue(String.valueOf(failure.getMessage()).contains("mla"), failure.getMessage());
    }
    ModelSizes packed = ModelSizes.of(Map.of("width", "16", "packed", "true"));
    assertThrows(
        IllegalArgumentException.class,
        () -> Initialisation.of(ModelKind.LANGUAGE_MODEL, options(LATENT), packed, 1));
    LayerOptions indexed = options("dsa");
    IllegalArgumentException failure =
        assertThrows(
            IllegalArgumentException.class, () -> plan(indexed, fresh(indexed), Purpose.EVALUATE));
    assertTrue(
        String.valueOf(failure.getMessage()).contains("trained by a loss of its own"),
        failure.getMessage());
  }
}
