package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// operationsData is what an operator looks at.
type operationsData struct {
	Board    reading
	Charts   []chart
	Map      *serviceMap // nil: there are no figures
	Products []apigen.Product
	Breakers []apigen.Breaker
	Review   []apigen.SagaSummary
	Letters  []apigen.DeadLetter
	More     bool                 // there are more letters
	Verify   *apigen.VerifyReport // nil: not asked for
}

func (d *server) operations(v *visit, w http.ResponseWriter) error {
	ctx := v.r.Context()
	data := operationsData{Board: d.board.read()}
	var err error
	if data.Products, data.Breakers, err = v.shelf(); err != nil {
		return err
	}
	var sagas apigen.SagaList
	err = v.call(&sagas, func(api *apigen.Client) (*http.Response, error) {
		return api.ListSagas(ctx, &apigen.ListSagasParams{Status: ptr(apigen.ListSagasParamsStatus("FAILED")), Limit: ptr(50)})
	})
	if err != nil {
		return err
	}
	data.Review = sagas.Sagas
	var letters apigen.DeadLetterList
	err = v.call(&letters, func(api *apigen.Client) (*http.Response, error) {
		return api.ListDeadLetters(ctx, &apigen.ListDeadLettersParams{Limit: ptr(50)})
	})
	if err != nil {
		return err
	}
	data.Letters, data.More = letters.Letters, letters.NextCursor != nil
	data.Charts = chartsOf(data.Board)
	if d.c.Services != nil {
		data.Map = ptr(mapOf(d.c.Services(), data.Board.Total))
	}
	if v.r.URL.Query().Has("verify") {
		data.Verify = &apigen.VerifyReport{}
		if err := v.call(data.Verify, func(api *apigen.Client) (*http.Response, error) { return api.Verify(ctx) }); err != nil {
			return err
		}
	}
	return d.show(w, http.StatusOK, "operations", &page{Title: "Operations", Here: "operations", Data: data})
}

func (d *server) moveBreaker(v *visit, w http.ResponseWriter) error {
	moves := map[string]func(*apigen.Client) (*http.Response, error){
		"trip": func(api *apigen.Client) (*http.Response, error) {
			return api.TripBreaker(v.r.Context(), v.r.PathValue("name"))
		},
		"reset": func(api *apigen.Client) (*http.Response, error) {
			return api.ResetBreaker(v.r.Context(), v.r.PathValue("name"))
		},
	}
	move, ok := moves[v.r.PathValue("move")]
	if !ok {
		return &refusal{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "A circuit breaker can be tripped and reset."}
	}
	if err := v.call(nil, move); err != nil {
		return err
	}
	return v.back(w)
}

func (d *server) restock(v *visit, w http.ResponseWriter) error {
	quantity, err := strconv.ParseInt(strings.TrimSpace(v.r.PostForm.Get("quantity")), 10, 64)
	if err != nil {
		return badForm("The quantity %.40q is not a whole number.", v.r.PostForm.Get("quantity"))
	}
	if _, err := v.restock(v.r.PathValue("id"), quantity); err != nil {
		return err
	}
	return v.back(w)
}

func (d *server) redrive(v *visit, w http.ResponseWriter) error {
	id, reason := v.r.PathValue("id"), strings.TrimSpace(v.r.PostForm.Get("reason"))
	if reason == "" {
		return badForm("A redrive wants a reason: it is kept in the order's log.")
	}
	err := v.call(nil, func(api *apigen.Client) (*http.Response, error) {
		return api.RedriveSaga(v.r.Context(), id, apigen.RedriveRequest{Reason: reason})
	})
	if err != nil {
		return err
	}
	return see(w, v.r, "/dashboard/orders/%s", url.PathEscape(id))
}

func (d *server) redriveLetters(v *visit, w http.ResponseWriter) error {
	var body apigen.RedriveLetters
	if ids := v.r.PostForm["id"]; len(ids) > 0 {
		body.Ids = &ids
	}
	if err := v.call(nil, func(api *apigen.Client) (*http.Response, error) { return api.RedriveDeadLetters(v.r.Context(), body) }); err != nil {
		return err
	}
	return v.back(w)
}

// back returns to the page on which the button was.
func (v *visit) back(w http.ResponseWriter) error {
	if v.r.PostFormValue("back") == "home" {
		return see(w, v.r, "/")
	}
	return see(w, v.r, "/dashboard/operations")
}
