// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.optimiser.OptimiserOptions;
import dev.crossover.models.training.Trainer;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.apache.commons.rng.UniformRandomProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What models must do whatever their numbers are.
class ModelTest {
  private static final int VOCABULARY = 19;

  @TempDir private Path folder;

  private static Map<String, String> map(String text) {
    Map<String, String> map = new HashMap<>();
    for (String pair : text.split(" ")) {
      if (!pair.isEmpty()) {
        map.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
      }
    }
    return map;
  }

  private static LayerOptions options(String text) {
    return LayerOptions.of(map(text));
  }

  private static ModelSizes sizes(String text) {
    Map<String, String> map = map(text);
    map.putIfAbsent("vocabulary", "" + VOCABULARY);
    map.putIfAbsent("width", "16");
    map.putIfAbsent("max_length", "64");
    map.putIfAbsent("initialisation", "fan_in");
    return ModelSizes.of(map);
  }

  private static int[] tokens(String name, int count) {
    UniformRandomProvider generator = Draws.generator(Draws.seedFor(7, name));
    int[] tokens = new int[count];
    for (int i = 0; i < count; i++) {
      tokens[i] = generator.nextInt(VOCABULARY);
    }
    return tokens;
  }

  private static Batch batch(ModelKind kind, int batch, int n) {
    int[] labels = tokens("labels", kind == ModelKind.CLASSIFIER ? batch : batch * n);
    for (int i = 0; i < labels.length && kind != ModelKind.CLASSIFIER; i += 3) {
      labels[i] = -100;
    }
    for (int i = 0; i < labels.length && kind == ModelKind.CLASSIFIER; i++) {
      labels[i] %= 2;
    }
    boolean[] real = new boolean[batch * n];
    Arrays.fill(real, true);
    for (int i = 0; i < n / 4; i++) {
      real[n - 1 - i] = false;
    }
    boolean causal = kind == ModelKind.LANGUAGE_MODEL;
    return new Batch(
        tokens("tokens", batch * n),
        labels,
        kind == ModelKind.CLASSIFIER ? real : null,
        causal ? null : tokens("source", batch * n),
        kind == ModelKind.ENCODER_DECODER ? real : null);
  }

  private static ModelShape shape(ModelKind kind, int batch, int n) {
    ModelShape shape = ModelShape.of(batch, n);
    return kind == ModelKind.ENCODER_DECODER ? shape.withSource(n) : shape;
  }

  /// The slope of the loss in a random direction over all parameters, by central differences,
  /// against the gradients. The loss has an error of about 1e-7, so the quotient one of 1e-7/h.
  private static void checkSlope(ModelKind kind, LayerOptions options, ModelSizes sizes) {
    Parameters parameters = Initialisation.of(kind, options, sizes, 5);
    ModelShape shape = shape(kind, 2, 12);
    Batch batch = batch(kind, 2, 12);
    Model model = Model.plan(kind, options, parameters, shape, Purpose.TRAIN, 1);
    model.loss(batch);
    model.backward();
    double norm = 0;
    for (Parameter parameter : parameters.trained()) {
      for (float g : parameter.gradient().data()) {
        norm += (double) g * g;
      }
    }
    norm = Math.sqrt(norm);
    double h = 4e-3;
    double slope = 0;
    double[] losses = new double[2];
    for (int side = 0; side < 2; side++) {
      slope = 0;
      Parameters moved = parameters.copy();
      for (Parameter parameter : parameters.trained()) {
        float[] gradient = parameter.gradient().data();
        float[] noise = Draws.gaussian(Draws.seedFor(2, parameter.name()), gradient.length).data();
        float[] value = moved.get(parameter.name()).value().data();
        double scale = 0.5 / Math.sqrt(parameters.size());
        for (int i = 0; i < value.length; i++) {
          double direction = gradient[i] / norm + scale * noise[i];
          slope += gradient[i] * direction;
          value[i] += (float) ((side == 0 ? h : -h) * direction);
        }
      }
      losses[side] = Model.plan(kind, options, moved, shape, Purpose.EVALUATE, 1).loss(batch);
    }
    assertEquals(slope, (losses[0] - losses[1]) / (2 * h), 4e-3 * Math.abs(slope) + 3e-4);
  }

  @Test
  void gradientsOfAnAutoencoderAreSlopes() {
    checkSlope(
        ModelKind.AUTOENCODER,
        options("mixer=tiled heads=2 layers=2 positions=sinusoidal feed_forward=gelu"),
        sizes(""));
    checkSlope(ModelKind.AUTOENCODER, options("mixer=lstm layers=1"), sizes(""));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "positions=learned feed_forward=gelu",
        "positions=rope norm=rms feed_forward=swiglu kv_heads=1",
        "positions=alibi feed_forward=gelu_tanh norm_position=post",
        "positions=sinusoidal embedding_scale=4 label_smoothing=0.1 z_loss=0.01",
        "projection_activation=silu qk_norm=l2 head_norm=layer positions=rope_interleaved",
        "dropout=0.2 training=true layers=2",
        "mixer=lstm feed_forward=none layers=2",
        "mixer=gru feed_forward=none layers=2",
        "mixer=gated_convolution:width=3 layers=3 feed_forward=none",
        "mixer=long_convolution layers=2",
        "mixer=long_convolution mixer.1=softmax layers=2",
      })
  void gradientsAreThoseOfCentralDifferences(String text) {
    LayerOptions options = options("heads=2 " + text);
    checkSlope(ModelKind.LANGUAGE_MODEL, options, sizes("conv=3 conv_bias=true gate=true"));
  }

  @Test
  void gradientsOfAClassifierAreThoseOfCentralDifferences() {
    for (String pooling : new String[] {"mean", "first", "last"}) {
      LayerOptions options = options("heads=2 positions=learned pooling=" + pooling);
      checkSlope(ModelKind.CLASSIFIER, options, sizes("attention_bias=true packed=true"));
    }
  }

  @Test
  void gradientsOfAnEncoderDecoderAreThoseOfCentralDifferences() {
    LayerOptions options = options("heads=2 positions=sinusoidal encoder_layers=2");
    checkSlope(ModelKind.ENCODER_DECODER, options, sizes("target_vocabulary=" + VOCABULARY));
  }

  /// Large enough that work is handed to other threads.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "positions=rope norm=layer feed_forward=gelu layers=2 dropout=0.1 training=true",
        "mixer=lstm feed_forward=none",
        "mixer=gated_convolution:width=2 mixer.1=long_convolution layers=2"
      })
  void anyNumberOfThreadsGivesTheSameBits(String text) {
    LayerOptions options = options("heads=4 " + text);
    ModelSizes sizes = sizes("width=64 conv=4 initialisation=gpt");
    int[] tokens = tokens("tokens", 8 * 64);
    Batch batch = Batch.of(tokens, tokens("labels", 8 * 64));
    Parameters[] trained = new Parameters[3];
    for (int threads = 1; threads <= 3; threads++) {
      Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes, 1);
      Model model =
          Model.plan(
              ModelKind.LANGUAGE_MODEL,
              options,
              parameters,
              ModelShape.of(8, 64),
              Purpose.TRAIN,
              threads);
      Trainer trainer = new Trainer(model, parameters, OptimiserOptions.of(map("clip=1")), threads);
      for (int s = 0; s < 2; s++) {
        trainer.step(batch);
      }
      trained[threads - 1] = parameters;
    }
    for (String name : trained[0].names()) {
      float[] one = trained[0].get(name).value().data();
      assertArrayEquals(one, trained[1].get(name).value().data(), name);
      assertArrayEquals(one, trained[2].get(name).value().data(), name);
    }
  }

  /// Repeats steps until some rounds in a row allocate nothing: compilers take their time.
  @Test
  void stepsAllocateNothing() {
    LayerOptions options =
        options("heads=2 positions=rope feed_forward=swiglu norm=rms mixer.1=lstm layers=2");
    Parameters parameters =
        Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes("conv=3"), 1);
    Model model =
        Model.plan(
            ModelKind.LANGUAGE_MODEL, options, parameters, ModelShape.of(2, 16), Purpose.TRAIN, 1);
    Trainer trainer = new Trainer(model, parameters, OptimiserOptions.of(map("clip=1")), 1);
    Batch batch = batch(ModelKind.LANGUAGE_MODEL, 2, 16);
    com.sun.management.ThreadMXBean bean =
        (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    long least = Long.MAX_VALUE;
    int quiet = 0;
    for (int round = 0; round < 1000 && quiet < 3; round++) {
      long before = bean.getCurrentThreadAllocatedBytes();
      for (int s = 0; s < 20; s++) {
        trainer.step(batch);
      }
      long bytes = bean.getCurrentThreadAllocatedBytes() - before;
      least = Math.min(least, bytes);
      quiet = bytes == 0 ? quiet + 1 : 0;
      if (quiet == 0) {
        LockSupport.parkNanos(1_000_000);
      }
    }
    assertEquals(3, quiet, "twenty steps allocated at least " + least + " bytes");
  }

  @Test
  void eightRandomSequencesAreLearntByHeart() {
    LayerOptions options = options("heads=2 positions=learned feed_forward=gelu layers=2");
    ModelSizes sizes = sizes("width=32 initialisation=gpt");
    Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes, 1);
    int[] tokens = tokens("tokens", 8 * 12);
    int[] labels = tokens("labels", 8 * 12);
    for (int b = 0; b < 8; b++) {
      tokens[b * 12] = b;
    }
    Model model =
        Model.plan(
            ModelKind.LANGUAGE_MODEL, options, parameters, ModelShape.of(8, 12), Purpose.TRAIN, 1);
    Trainer trainer = new Trainer(model, parameters, OptimiserOptions.of(map("lr=1e-2")), 1);
    for (int s = 0; s < 300; s++) {
      trainer.step(Batch.of(tokens, labels));
    }
    assertEquals(8 * 12, model.labelled());
    assertEquals(8 * 12, model.correct());
  }

  @Test
  void aWindowThatSeesEverythingIsSoftmax() {
    ModelSizes sizes = sizes("");
    LayerOptions exact = options("heads=2 positions=rope layers=2");
    Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, exact, sizes, 1);
    int[] tokens = tokens("tokens", 2 * 24);
    float[] expected = logits(exact, parameters, tokens);
    float[] windowed = logits(exact.with("mixer", "longformer:window=24"), parameters, tokens);
    float[] chosen = logits(exact.with("mixer.1", "topk:top_k=24"), parameters, tokens);
    assertArrayEquals(expected, windowed, 1e-5f);
    assertArrayEquals(expected, chosen, 1e-5f);
    float[] narrow = logits(exact.with("mixer", "longformer:window=2"), parameters, tokens);
    assertTrue(Math.abs(expected[expected.length - 1] - narrow[narrow.length - 1]) > 1e-4);
  }

  private static float[] logits(LayerOptions options, Parameters parameters, int[] tokens) {
    Model model =
        Model.plan(
            ModelKind.LANGUAGE_MODEL, options, parameters, ModelShape.of(2, 24), Purpose.LOGITS, 1);
    return model.logits(new Batch(tokens, null, null, null, null)).data().clone();
  }

  @Test
  void parametersSurviveAFile() throws Exception {
    Parameters parameters =
        Initialisation.of(
            ModelKind.CLASSIFIER, options("norm=batch mixer=gru layers=2"), sizes(""), 1);
    Path file = folder.resolve("model.safetensors");
    parameters.write(file);
    Parameters read = Parameters.read(SafeTensors.open(file));
    assertEquals(parameters.names(), read.names());
    for (Parameter parameter : parameters.all()) {
      Tensor back = read.get(parameter.name()).value();
      assertArrayEquals(parameter.value().shape(), back.shape());
      assertArrayEquals(parameter.value().data(), back.data());
    }
  }

  @Test
  void aRunContinuedFromItsStateGivesTheBitsOfAnUnbrokenOne() {
    LayerOptions options = options("heads=2 dropout=0.1 training=true positions=rope");
    Batch batch = batch(ModelKind.LANGUAGE_MODEL, 2, 12);
    Parameters whole = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes(""), 1);
    Trainer unbroken = trainer(options, whole);
    for (int s = 0; s < 6; s++) {
      unbroken.step(batch);
    }
    Parameters first = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes(""), 1);
    Trainer before = trainer(options, first);
    for (int s = 0; s < 3; s++) {
      before.step(batch);
    }
    Parameters second = first.copy();
    Trainer after = trainer(options, second);
    Map<String, Tensor> saved = before.state();
    after
        .state()
        .forEach(
            (name, tensor) ->
                System.arraycopy(saved.get(name).data(), 0, tensor.data(), 0, tensor.size()));
    after.resume(before.steps());
    for (int s = 0; s < 3; s++) {
      after.step(batch);
    }
    for (String name : whole.names()) {
      assertArrayEquals(whole.get(name).value().data(), second.get(name).value().data(), name);
    }
  }

  private static Trainer trainer(LayerOptions options, Parameters parameters) {
    Model model =
        Model.plan(
            ModelKind.LANGUAGE_MODEL, options, parameters, ModelShape.of(2, 12), Purpose.TRAIN, 1);
    return new Trainer(
        model, parameters, OptimiserOptions.of(map("lr=3e-3 schedule=cosine total_steps=6")), 1);
  }

  @Test
  void onlyChosenParametersAreTrained() {
    LayerOptions options = options("heads=2 layers=2");
    Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes(""), 1);
    Model model =
        Model.plan(
            ModelKind.LANGUAGE_MODEL,
            options,
            parameters,
            ModelShape.of(2, 12),
            Purpose.TRAIN,
            name -> name.startsWith("layers.1.mixer."),
            1);
    model.loss(batch(ModelKind.LANGUAGE_MODEL, 2, 12));
    model.backward();
    assertTrue(parameters.trained().stream().allMatch(p -> p.name().startsWith("layers.1.mixer.")));
    assertEquals(4, parameters.trained().size());
  }

  @Test
  void batchNormInATrainedLanguageModelIsRefused() {
    LayerOptions options = options("heads=2 norm=batch training=true");
    Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes(""), 1);
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                Model.plan(
                    ModelKind.LANGUAGE_MODEL,
                    options,
                    parameters,
                    ModelShape.of(2, 12),
                    Purpose.TRAIN,
                    1));
    assertTrue(refused.getMessage().contains("norm must not be batch"), refused.getMessage());
  }

  @Test
  void addingATensorChangesNoOther() {
    LayerOptions options = options("heads=2 layers=2");
    Parameters plain = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes(""), 1);
    Parameters more =
        Initialisation.of(
            ModelKind.LANGUAGE_MODEL, options, sizes("gate=true conv=4 tied=false"), 1);
    assertTrue(more.names().size() > plain.names().size());
    for (String name : plain.names()) {
      assertArrayEquals(plain.get(name).value().data(), more.get(name).value().data(), name);
    }
  }

  /// Both ways are float32 sums of a few dozen products; logits are of the order of one.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "positions=rope kv_heads=1",
        "positions=learned norm_position=post",
        "positions=sinusoidal norm=batch",
        "positions=rope_interleaved mixer=retnet head_norm=rms head_norm_eps=1e-6",
        "mixer=gla head_norm=rms",
        "mixer=mamba2_ssd projection_activation=silu head_norm=rms feed_forward=none",
        "mixer=deltanet projection_activation=silu qk_norm=l2 head_norm=rms beta_max=2",
        "mixer=gated_deltanet projection_activation=silu qk_norm=l2 head_norm=rms",
        "mixer=linear_transformer mixer.1=longformer:window=4 layers=2",
        "mixer=differential positions=rope kv_heads=1",
        "mixer=lstm mixer.1=gru layers=2 feed_forward=none",
        "mixer=gated_convolution:width=3 mixer.2=long_convolution layers=3"
      })
  void tokenByTokenIsTheWholeSequence(String text) {
    LayerOptions options = options("heads=2 " + text);
    ModelSizes sizes = sizes("conv=4 conv_bias=true gate=true");
    Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, options, sizes, 1);
    int[] tokens = tokens("tokens", 2 * 24);
    float[] whole = logits(options, parameters, tokens);
    LanguageModelSession session = new LanguageModelSession(options, parameters, 2, 24, 1);
    for (int run = 0; run < 2; run++) {
      for (int t = 0; t < 24; t++) {
        float[] logits = session.step(new int[] {tokens[t], tokens[24 + t]}).data();
        for (int b = 0; b < 2; b++) {
          for (int c = 0; c < VOCABULARY; c++) {
            float expected = whole[(b * 24 + t) * VOCABULARY + c];
            assertEquals(expected, logits[b * VOCABULARY + c], 5e-5, "token " + t);
          }
        }
      }
      assertEquals(24, session.position());
      assertTrue(session.stateBytes() > 0);
      assertThrows(IllegalStateException.class, () -> session.step(new int[] {0, 0}));
      session.reset();
    }
  }
}
