// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.TaskTraining.PositionLoss;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.commons.rng.UniformRandomProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TaskTrainingTest {
  private static final Map<String, String> SMALL =
      Map.of("width", "16", "batch", "8", "steps", "12", "test_samples", "16");

  @TempDir private Path folder;

  private static TaskTraining training(String task, String mixer, int threads) {
    Task parsed = Tasks.parse(task);
    Recipe recipe = Recipe.of(parsed, mixer, SMALL, parsed.positions());
    return new TaskTraining(parsed, recipe, 1, 42, threads);
  }

  private static void train(TaskTraining training, int steps) {
    for (int s = 0; s < steps; s++) {
      training.step();
    }
  }

  private static void assertSameBits(TaskTraining expected, TaskTraining actual) {
    assertEquals(expected.losses(), actual.losses());
    for (Parameter parameter : expected.parameters().all()) {
      assertArrayEquals(
          parameter.value().data(),
          actual.parameters().get(parameter.name()).value().data(),
          parameter.name());
    }
  }

  /// Three tokens of two letters and a mark: eight sequences, of which an auto-encoder can keep
  /// which one it read, in one row.
  @Test
  void anAutoencoderLearnsToSayAShortSequenceAgain() {
    Task task = Tasks.parse("compression:n=4,vocab=3");
    Map<String, String> small =
        Map.of("width", "32", "layers", "1", "batch", "16", "steps", "400", "test_samples", "64");
    Recipe recipe = Recipe.of(task, "tiled+lr=1e-2", small, 4);
    TaskTraining training = new TaskTraining(task, recipe, 1, 42, 1);
    for (int i = 0; i < 400; i++) {
      training.step();
    }
    // one letter in two and the mark by guessing: 0.625
    double accuracy = training.look(task).accuracy();
    assertTrue(accuracy > 0.95, "accuracy " + accuracy);
  }

  /// Stretches of positions put together again are all positions.
  @Test
  void lossByPositionIsTheLossOfTheSamplesTakenApart() throws Exception {
    byte[] all = new byte[4000];
    for (int i = 0; i < all.length; i++) {
      all[i] = (byte) (i % 7);
    }
    Path file = folder.resolve("counting");
    Files.write(file, all);
    Task task = Tasks.parse("bytes:n=11,text=" + file);
    Task whole = task.askedEverywhere().orElseThrow();
    Recipe recipe = Recipe.of(task, "tiled", SMALL, 11);
    TaskTraining training = new TaskTraining(task, recipe, 1, 42, 2);
    List<PositionLoss> bins = training.lossByPosition(whole);
    assertEquals(
        List.of("1-1", "2-2", "3-4", "5-8", "9-11"),
        bins.stream().map(bin -> bin.from() + "-" + bin.to()).toList());
    double sum = 0;
    for (PositionLoss bin : bins) {
      sum += bin.loss() * (bin.to() - bin.from() + 1);
    }
    assertEquals(training.look(whole).loss(), sum / 11, 1e-12);
    assertThrows(IllegalArgumentException.class, () -> training.lossByPosition(task));
    assertTrue(Tasks.parse("mqar").askedEverywhere().isEmpty());
  }

  /// Stretches of 200 letters, each of two of four letters at random. After one letter the next is
  /// the same in half of all cases: entropy H(1/2, 1/6, 1/6, 1/6) = 1.24 nats; later both letters
  /// are known: 0.69, and a little for windows in which another stretch begins.
  @Test
  void lossByPositionFallsWhereContextTells() throws Exception {
    byte[] all = new byte[400_000];
    UniformRandomProvider random = Draws.generator(Draws.seedFor(1, "text"));
    for (int from = 0; from < all.length; from += 200) {
      int one = random.nextInt(4);
      int other = (one + 1 + random.nextInt(3)) % 4;
      for (int i = from; i < from + 200; i++) {
        all[i] = (byte) (random.nextBoolean() ? one : other);
      }
    }
    Path file = folder.resolve("stretches");
    Files.write(file, all);
    Task task = Tasks.parse("bytes:n=16,text=" + file);
    Map<String, String> enough =
        Map.of("width", "32", "layers", "1", "batch", "16", "steps", "300", "test_samples", "256");
    Recipe recipe = Recipe.of(task, "tiled+lr=1e-2", enough, 16);
    TaskTraining training = new TaskTraining(task, recipe, 1, 42, 2);
    train(training, 300);
    List<PositionLoss> bins = training.lossByPosition(task.askedEverywhere().orElseThrow());
    double first = bins.getFirst().loss();
    double last = bins.getLast().loss();
    assertTrue(first > 1.15 && last < 0.9, "first " + first + ", last " + last);
  }

  @Test
  void aRunThatWasSavedGoesOnWithTheBitsOfNoInterruption() throws Exception {
    TaskTraining whole = training("mqar:n=16,pairs=2,vocab=64", "tiled", 1);
    train(whole, 12);
    TaskTraining first = training("mqar:n=16,pairs=2,vocab=64", "tiled", 1);
    train(first, 5);
    first.look(Tasks.parse("mqar:n=16,pairs=2,vocab=64"));
    Path saved = folder.resolve("run.safetensors");
    first.save(saved);
    TaskTraining second = training("mqar:n=16,pairs=2,vocab=64", "tiled", 1);
    second.resume(saved);
    assertEquals(5, second.steps());
    assertEquals(first.looks(), second.looks());
    train(second, 7);
    assertSameBits(whole, second);
  }

  @Test
  void threadsDoNotChangeTheBits() {
    TaskTraining one = training("parity:n=12,every=true", "lstm", 1);
    TaskTraining three = training("parity:n=12,every=true", "lstm", 3);
    train(one, 6);
    train(three, 6);
    assertSameBits(one, three);
  }

  @Test
  void anotherSeedIsAnotherModelOnTheSameSamples() {
    Task task = Tasks.parse("induction:n=16");
    Recipe recipe = Recipe.of(task, "tiled", SMALL, 16);
    TaskTraining one = new TaskTraining(task, recipe, 1, 42, 1);
    TaskTraining two = new TaskTraining(task, recipe, 2, 42, 1);
    TaskTraining other = new TaskTraining(task, recipe, 1, 43, 1);
    double loss = one.step();
    assertTrue(loss != two.step() && loss != other.step(), "losses differ");
  }

  @Test
  void anLstmLearnsRunningParity() {
    Task task = Tasks.parse("parity:n=12,every=true");
    Map<String, String> enough =
        Map.of("batch", "32", "steps", "400", "test_samples", "64", "width", "24");
    TaskTraining training = new TaskTraining(task, Recipe.of(task, "lstm", enough, 12), 1, 42, 2);
    TaskTraining.Look before = training.look(task);
    assertTrue(before.accuracy() < 0.75, "untrained: " + before);
    train(training, 400);
    TaskTraining.Look after = training.look(task);
    assertTrue(after.accuracy() > 0.99 && after.loss() < 0.05, "trained: " + after);
    assertTrue(after.sequenceAccuracy() <= after.accuracy());
  }

  @Test
  void sequencesAreAskedAtTheirLastToken() {
    TaskTraining training =
        training("listops:min_length=4,max_length=24,max_depth=3,max_args=3", "tiled", 1);
    train(training, 3);
    assertEquals(3, training.losses().size());
    assertTrue(training.losses().stream().allMatch(Double::isFinite));
  }

  @Test
  void whatCannotBeTrainedIsRefusedByName() {
    assertRefused("mqar", "tilde", "mechanism must be one of");
    assertRefused("mqar", "tiled+colour=red", "colour");
    assertRefused("mqar", "tiled+steps=0", "steps must be >= 1");
    assertRefused("mqar", "tiled+steps=many", "steps must be a whole number");
    assertRefused("mqar", "tiled+layers", "key=value");
    assertRefused("parity", "nystromformer", "nystromformer");
  }

  private static void assertRefused(String task, String mixer, String reason) {
    String message =
        String.valueOf(
            assertThrows(RuntimeException.class, () -> training(task, mixer, 1)).getMessage());
    assertTrue(message.contains(reason), message);
  }
}
