// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import com.fasterxml.jackson.annotation.JsonInclude;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.MapperFeature;
import tools.jackson.databind.cfg.EnumFeature;
import tools.jackson.databind.json.JsonMapper;

/// Records as JSON text: one line each, tokens in lower case, absent parts left out.
public final class RecordJson {
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .disable(MapperFeature.SORT_PROPERTIES_ALPHABETICALLY)
          .enable(EnumFeature.WRITE_ENUMS_TO_LOWERCASE)
          .enable(MapperFeature.ACCEPT_CASE_INSENSITIVE_ENUMS)
          .changeDefaultPropertyInclusion(
              included -> included.withValueInclusion(JsonInclude.Include.NON_NULL))
          .build();

  private RecordJson() {}

  /// A record as one line without a line break.
  public static String write(Object value) {
    return MAPPER.writeValueAsString(value);
  }

  /// Reads what [#write] wrote; properties unknown to this version are ignored.
  ///
  /// @param text one JSON object
  /// @param type the record's class
  /// @throws IllegalArgumentException if the text is not such a record, in one line
  public static <T> T read(String text, Class<T> type) {
    try {
      T value = MAPPER.readValue(text, type);
      if (value == null) {
        throw new IllegalArgumentException("record must be a JSON object, but was null");
      }
      return value;
    } catch (JacksonException e) {
      throw new IllegalArgumentException(
          "record must be one JSON object, but was: "
              + e.getOriginalMessage().lines().findFirst().orElse("?"),
          e);
    }
  }
}
