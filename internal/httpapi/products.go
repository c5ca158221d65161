package httpapi

import (
	"net/http"
	"strconv"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/pan"
)

var (
	putShape     = &shape{members: map[string]*shape{"name": scalar, "unit_price_cents": scalar, "stock": scalar}}
	restockShape = &shape{members: map[string]*shape{"quantity": scalar}}
)

var errNoProduct = fault.New(fault.NotFound, "There is no such product.")

// productList is ProductList in openapi.yaml.
type productList struct {
	Products   []inventory.Product `json:"products"`
	NextCursor string              `json:"next_cursor,omitempty"`
}

const productsQuery = "GET /products"

// ListProducts shows a page of the catalogue.
func (s *server) ListProducts(w http.ResponseWriter, r *http.Request, params apigen.ListProductsParams) {
	x := of(w)
	limit, after, err := s.page(x, productsQuery, params.Limit, params.Cursor)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	products, err := s.products.List(r.Context(), after, limit+1) // one more says whether there is a next page
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	list := productList{Products: products}
	if len(products) > limit {
		list.Products = products[:limit]
		list.NextCursor = s.next(x, productsQuery, products[limit-1].ProductID)
	}
	if list.Products == nil {
		list.Products = []inventory.Product{}
	}
	x.Header().Set("Cache-Control", revalidate)
	s.replyJSON(x, r, http.StatusOK, list)
}

// GetProduct shows a product and its stock.
func (s *server) GetProduct(w http.ResponseWriter, r *http.Request, productID apigen.ProductID) {
	x := of(w)
	if !validID(productID) {
		s.refuse(x, r, errNoProduct)
		return
	}
	product, err := s.products.Get(r.Context(), productID)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	h := x.Header()
	h.Set("ETag", etag(product.Version))
	h.Set("Cache-Control", revalidate)
	s.replyJSON(x, r, http.StatusOK, product)
}

// PutProduct creates a product or changes its name and price.
func (s *server) PutProduct(w http.ResponseWriter, r *http.Request, productID apigen.ProductID, params apigen.PutProductParams) {
	x := of(w)
	put, err := productPut(x.body, productID, params.IfMatch)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	product, created, err := s.products.Put(r.Context(), put)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	h, status := x.Header(), http.StatusOK
	h.Set("ETag", etag(product.Version))
	h.Set("Cache-Control", noStore)
	if created {
		h.Set("Location", "/products/"+product.ProductID)
		status = http.StatusCreated
	}
	s.replyJSON(x, r, status, product)
}

func productPut(body value, productID string, match *string) (inventory.PutProduct, error) {
	none := inventory.PutProduct{}
	if err := putShape.check(body, ""); err != nil {
		return none, err
	}
	version, err := ifMatch(match)
	if err != nil {
		return none, err
	}
	var f form
	if !validID(productID) {
		f.invalid("product_id", "must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\"")
	}
	if pan.In(productID) {
		f.invalid("product_id", noCards)
	}
	put := inventory.PutProduct{
		ProductID:      productID,
		Name:           f.text(body, "name"),
		UnitPriceCents: f.integer(body, "unit_price_cents"),
		Stock:          f.optionalInteger(body, "stock"),
		IfMatch:        version,
	}
	return put, f.fault()
}

// RestockProduct adds stock, once for each key.
func (s *server) RestockProduct(
	w http.ResponseWriter, r *http.Request, productID apigen.ProductID, params apigen.RestockProductParams,
) {
	x := of(w)
	restock, err := s.restock(x, productID, params.IdempotencyKey)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	status, body, replayed, err := s.products.Restock(r.Context(), restock)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	if replayed {
		x.Header().Set("Idempotent-Replayed", "true")
	}
	x.Header().Set("Cache-Control", noStore)
	x.reply(status, body)
}

// restock reads the request. The path is a part of the fingerprint: the same key for another product is another request.
func (s *server) restock(x *exchange, productID, key string) (inventory.Restock, error) {
	none := inventory.Restock{}
	if err := restockShape.check(x.body, ""); err != nil {
		return none, err
	}
	if err := checkKey(key); err != nil {
		return none, err
	}
	if !validID(productID) {
		return none, errNoProduct
	}
	var f form
	return inventory.Restock{
		ProductID:      productID,
		Quantity:       f.integer(x.body, "quantity"),
		IdempotencyKey: key,
		Principal:      x.principal.Subject,
		Fingerprint:    fingerprint(strconv.Quote(productID), x.body),
		CorrelationID:  x.correlationID,
	}, f.fault()
}
