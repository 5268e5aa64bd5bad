// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jobs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class RecentTest {
  private final Recent<String, String> recent = new Recent<>(2);
  private final List<String> made = new ArrayList<>();

  private String get(String key) throws IOException {
    return recent.get(
        key,
        () -> {
          made.add(key);
          return key + key;
        });
  }

  @Test
  void whatWasUsedLongestAgoIsMadeAgain() throws IOException {
    get("a");
    get("b");
    assertEquals("aa", get("a"));
    get("c");
    assertEquals(List.of("a", "b", "c"), made);
    get("a");
    assertEquals(List.of("a", "b", "c"), made);
    get("b");
    assertEquals(List.of("a", "b", "c", "b"), made);
  }

  @Test
  void whatWasMadeElsewhereIsNotMade() throws IOException {
    String given = "from elsewhere";
    recent.put("a", given);
    assertEquals(given, get("a"));
    assertEquals(List.of(), made);
  }

  @Test
  void whatCannotBeMadeIsTriedAgain() throws IOException {
    assertThrows(
        IOException.class,
        () ->
            recent.get(
                "a",
                () -> {
                  throw new IOException("no file");
                }));
    assertEquals("aa", get("a"));
  }
}
