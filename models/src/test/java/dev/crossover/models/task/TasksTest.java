// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.random.Draws;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.commons.rng.UniformRandomProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What every task promises, and what each says of itself.
class TasksTest {
  private static final int SAMPLES = 200;

  static Stream<String> tasks() {
    Stream<String> defaults = Tasks.all().stream().map(RecordType::name);
    return Stream.concat(
        defaults,
        Stream.of(
            "mqar:n=128,pairs=8,vocab=256,power=1",
            "mqar:n=64,pairs=16,vocab=512",
            "recall:n=64,vocab=32,noise_vocab=16,noise=0.8",
            "recall:n=16,vocab=8,train=true",
            "fuzzy_recall:n=64,vocab=16,train=true",
            "fuzzy_recall:n=48,vocab=20,key_max=2,value_max=4",
            "selective_copying:n=33,copy=16",
            "tape:kind=reverse,length=9,symbols=3",
            "tape:kind=duplicate,length=7,symbols=4",
            "tape:kind=sort,length=12,symbols=5,min_length=1",
            "parity:n=16,every=true",
            "modular_brackets:n=1",
            "modular_brackets:n=4",
            "modular_brackets:n=5,modulus=7",
            "dyck:n=20,types=3,depth=2,open_probability=0.9",
            "word_problem:group=S3,n=40",
            "word_problem:group=S5,n=10,few=2",
            "word_problem:group=Z60,n=10",
            "listops:min_length=8,max_length=64,max_depth=4,max_args=5",
            "needle:n=64,pairs=6,depth=0.5",
            "needle:n=64,pairs=6,depth=1"));
  }

  private static UniformRandomProvider stream(long seed) {
    return Draws.generator(Draws.seedFor(seed, "tasks"));
  }

  /// A text is drawn from, not made up, so that nothing can solve it.
  static Stream<String> solvable() {
    return tasks().filter(text -> !text.equals("bytes"));
  }

  @ParameterizedTest
  @MethodSource("solvable")
  void solverSaysEveryLabelOfDrawnSamples(String text) {
    Task task = Tasks.parse(text);
    int[] tokens = new int[task.positions()];
    int[] labels = new int[task.labels()];
    Task.Solver solver = task.solver();
    int samples = text.equals("listops") ? 5 : SAMPLES;
    int asked = 0;
    for (int s = 0; s < samples; s++) {
      task.draw(stream(s), tokens, labels);
      int[] solved = solver.solve(tokens.clone());
      for (int token : tokens) {
        assertTrue(token >= 0 && token < task.vocab(), text + " token " + token);
      }
      for (int t = 0; t < labels.length; t++) {
        if (labels[t] != Task.IGNORE) {
          asked++;
          assertEquals(labels[t], solved[t], text + " sample " + s + " position " + t);
          assertTrue(labels[t] >= 0 && labels[t] < task.classes(), text + " label " + labels[t]);
        }
      }
    }
    assertTrue(asked >= samples, text + " asks something in every sample");
  }

  @ParameterizedTest
  @MethodSource("tasks")
  void samplesDependOnTheStreamAlone(String text) {
    Task task = Tasks.parse(text);
    int[] first = new int[task.positions()];
    int[] again = new int[task.positions()];
    int[] other = new int[task.positions()];
    int[] labels = new int[task.labels()];
    boolean differs = task.positions() == 1;
    for (int s = 0; s < 20; s++) {
      task.draw(stream(s), first, labels);
      Arrays.fill(again, 7);
      Arrays.fill(labels, 7);
      task.draw(stream(s), again, labels);
      assertArrayEquals(first, again, text);
      task.draw(stream(s + 1000), other, labels);
      differs |= !Arrays.equals(first, other);
    }
    assertTrue(differs, text + " draws different samples from different streams");
  }

  @Test
  void everyTaskReadsWhatItDescribes() {
    for (RecordType<Task> type : Tasks.all()) {
      Task task = type.defaults();
      assertEquals(type.name(), Tasks.describe(task));
      TaskInfo info = Tasks.info(task.getClass());
      assertFalse(info.source().isBlank() || info.asks().isBlank() || info.solver().isBlank());
      assertTrue(task.chance() > 0 && task.chance() <= 1, type.name());
    }
    assertEquals("mqar:pairs=8", Tasks.describe(Tasks.parse("mqar:pairs=8,n=64")));
  }

  @Test
  void unknownTasksAndWrongParametersAreRefusedByName() {
    assertRefused("parrity", "parity");
    assertRefused("mqar:pears=4", "pairs");
    assertRefused("mqar:n=15", "n must be even");
    assertRefused("mqar:pairs", "param=value");
    assertRefused("word_problem:group=A5,few=1", "few must be from 0 to 0");
    assertRefused("needle:pairs=17", "keys must be >= 17");
  }

  private static void assertRefused(String text, String reason) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> Tasks.parse(text)).getMessage();
    assertTrue(message.contains(reason), message);
  }

  @Test
  void queriesOfMqarComeEarlyUnlessThePowerIsOne() {
    assertTrue(meanQueryPlace("mqar:n=256,pairs=1") < 60);
    double uniform = meanQueryPlace("mqar:n=256,pairs=1,power=1");
    assertTrue(uniform > 110 && uniform < 145, "mean place " + uniform);
  }

  private static double meanQueryPlace(String text) {
    Task task = Tasks.parse(text);
    int[] tokens = new int[task.positions()];
    int[] labels = new int[task.labels()];
    double sum = 0;
    for (int s = 0; s < 400; s++) {
      task.draw(stream(s), tokens, labels);
      for (int t = 0; t < labels.length; t++) {
        sum += labels[t] == Task.IGNORE ? 0 : t;
      }
    }
    return sum / 400;
  }

  @Test
  void groupsHaveTheirOrderAndAreClosed() {
    for (WordProblem.Group group : WordProblem.Group.values()) {
      int order = group.order();
      int[] table = group.table();
      assertEquals(order * order, table.length);
      for (int a = 0; a < order; a++) {
        Set<Integer> row = new HashSet<>();
        for (int b = 0; b < order; b++) {
          row.add(table[a * order + b]);
        }
        assertEquals(order, row.size(), group + " row " + a);
        assertEquals(a, table[a * order], group + ": element 0 is neutral");
      }
    }
    assertEquals(
        List.of(60, 120, 6, 60),
        Stream.of(WordProblem.Group.values()).map(WordProblem.Group::order).toList());
  }

  @Test
  void needlesStandWhereTheDepthSays() {
    for (double depth : new double[] {0, 0.25, 1}) {
      Task task = Tasks.parse("needle:n=42,pairs=8,depth=" + depth);
      int[] tokens = new int[42];
      int[] labels = new int[42];
      for (int s = 0; s < 50; s++) {
        task.draw(stream(s), tokens, labels);
        int place = 2 * (int) Math.min(19, depth * 20);
        assertEquals(tokens[41], tokens[place], "depth " + depth);
      }
    }
  }

  @Test
  void brokenSamplesOfFuzzyRecallAreNotDrawn() {
    Task task = Tasks.parse("fuzzy_recall");
    int[] tokens = new int[task.positions()];
    int[] labels = new int[task.labels()];
    for (int s = 0; s < 1000; s++) {
      task.draw(stream(s), tokens, labels);
      assertTrue(task.solver().solve(tokens)[labels.length - 1] != Task.IGNORE, "sample " + s);
    }
  }

  @Test
  void otherLengthsKeepTheTask() {
    for (String text : List.of("mqar", "parity:every=true", "dyck", "induction", "word_problem")) {
      Task task = Tasks.parse(text);
      Task longer = task.atLength(512);
      assertEquals(task.classes(), longer.classes());
      assertTrue(longer.positions() >= 512, text);
    }
    assertThrows(IllegalArgumentException.class, () -> Tasks.parse("listops").atLength(64));
  }
}
